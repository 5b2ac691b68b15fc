"""HM-NAS: supernet training, hierarchical masking, fine-tuning.

python launch/hmnas.py --config=configs/digits.py --workdir=runs/digits
"""

from typing import Any

import command_line


def main(config: dict[str, Any], workdir: str, mode: str) -> None:
    from nasjax.jobs.hmnas import modes  # imported late: --help does not wait for jax

    modes.run(config, workdir, mode)


if __name__ == "__main__":
    command_line.run(main, modes=("train", "evaluate", "control"))
