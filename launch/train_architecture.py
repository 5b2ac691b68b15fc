"""Trains single architectures and records every epoch.

python launch/train_architecture.py --config=configs/train/digits.py --workdir=runs/d
python launch/train_architecture.py --config=configs/train/darts_cifar10.py
    --config.data.dir=PATH --config.arch="Genotype(...)" --workdir=runs/darts

config.arch: an architecture in the notation of its space, a file with one a line,
random (config.num_archs of them) or, for NAS-Bench-101 cells, nasbench111.
"""

from typing import Any

import command_line


def main(config: dict[str, Any], workdir: str, mode: str) -> None:
    from nasjax.jobs.train_architecture import run  # late: --help does not wait for jax

    run.run(config, workdir)


if __name__ == "__main__":
    command_line.run(main, configs="configs/train")
