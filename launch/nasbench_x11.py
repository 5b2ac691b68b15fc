"""NAS-Bench-x11: tables, surrogates of learning curves, and the embedded benchmark.

C=configs/nasbench_x11/digits211.py
python launch/nasbench_x11.py --mode=fit --config=$C --workdir=runs/digits211
python launch/nasbench_x11.py --mode=evaluate --config=$C --workdir=runs/digits211
python launch/nasbench_x11.py --mode=sample --config=$C --workdir=runs/digits211
python launch/nasbench_x11.py --mode=build --workdir=runs/digits201 \\
    --config=configs/nasbench_x11/digits201.py

python launch/nasbench_x11.py --mode=convert --input=FILE --output=TABLE.safetensors
python launch/nasbench_x11.py --mode=query --table=TABLE.safetensors --arch=STRING
python launch/nasbench_x11.py --mode=import --input=FOLDER --output=FILE.safetensors

fit, evaluate, sample: surrogates of learning curves; verify: trains the best of an
embedded benchmark's. build: the embedded benchmark, into the working directory;
install: from there into the package.
convert FILE: nasbench_only108.tfrecord, nasbench_full.tfrecord,
NATS-tss-v1_0-3ffb9-simple (folder or tar), NAS-Bench-201-v1_1-096897.pth or logs.zip of
NAS-Bench-NLP. import FOLDER: a surrogate of nas-bench-x11 v0.5 or nasbench301 v1.0.
"""

from typing import Any

import command_line
from absl import flags

INPUT = flags.DEFINE_string("input", "", "convert, import: official file or folder.")
OUTPUT = flags.DEFINE_string("output", "", "convert, import: the file to write.")
RUNTIME = flags.DEFINE_string(
    "runtime", "", "import: nasbench301's lgb_runtime, for training seconds."
)
TABLE = flags.DEFINE_string("table", "", "query: a table file.")
ARCH = flags.DEFINE_string("arch", "", "query: an architecture as it is published.")


def main(config: dict[str, Any], workdir: str, mode: str) -> None:
    """Calls the job of the mode."""
    from nasjax.jobs.nasbench_x11 import files, modes  # late: --help is quick

    if mode == "convert":
        files.convert(INPUT.value, OUTPUT.value)
    elif mode == "query":
        files.query(TABLE.value, ARCH.value)
    elif mode == "import":
        modes.import_official(INPUT.value, OUTPUT.value, RUNTIME.value)
    else:
        modes.run(config, workdir, mode)


if __name__ == "__main__":
    command_line.run(
        main,
        modes=("fit", "evaluate", "sample", "verify", "build", "install"),
        bare_modes=("convert", "query", "import"),
        configs="configs/nasbench_x11",
    )
