"""NAS-Bench tables: convert the official files once, then look architectures up.

python launch/nasbench_x11.py --mode=convert --input=FILE --output=TABLE.safetensors
python launch/nasbench_x11.py --mode=query --table=TABLE.safetensors --arch=STRING

FILE: nasbench_only108.tfrecord, nasbench_full.tfrecord, NATS-tss-v1_0-3ffb9-simple
(folder or tar), NAS-Bench-201-v1_1-096897.pth or logs.zip of NAS-Bench-NLP.
"""

from typing import Any

import command_line
from absl import flags

from nasjax.jobs import nasbench_x11

INPUT = flags.DEFINE_string("input", "", "convert: the official file or folder.")
OUTPUT = flags.DEFINE_string("output", "", "convert: the table file to write.")
TABLE = flags.DEFINE_string("table", "", "query: a table file.")
ARCH = flags.DEFINE_string("arch", "", "query: an architecture as it is published.")


def main(config: dict[str, Any], workdir: str, mode: str) -> None:
    """Calls the job of the mode."""
    if mode == "convert":
        nasbench_x11.convert(INPUT.value, OUTPUT.value)
    else:
        nasbench_x11.query(TABLE.value, ARCH.value)


if __name__ == "__main__":
    command_line.run(main, modes=(), bare_modes=("convert", "query"))
