"""One HTML page about finished runs, which opens from disk without a network.

python launch/report.py --workdirs=runs/a,runs/b --output=report.html
python launch/report.py --workdirs=runs/a --output=report.html --figures=figures

workdirs: of the other launch scripts; a folder that cannot be read is a line on the
page. figures: also every figure as SVG and PDF, its numbers as CSV and the
configuration of every run.
"""

from typing import Any

import command_line
from absl import flags

WORKDIRS = flags.DEFINE_list("workdirs", [], "Folders of finished runs.")
OUTPUT = flags.DEFINE_string("output", "report.html", "The page to write.")
FIGURES = flags.DEFINE_string("figures", "", "Folder for figures and their numbers.")


def main(config: dict[str, Any], workdir: str, mode: str) -> None:
    from nasjax.jobs.report import run  # imported late: --help does not wait for jax

    run.run(WORKDIRS.value, OUTPUT.value, FIGURES.value)


if __name__ == "__main__":
    command_line.run(main, modes=(), bare_modes=("report",))
