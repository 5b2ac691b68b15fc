"""Searches: trials of algorithms on a benchmark, or one with real trainings.

C=configs/search
python launch/search.py --config=$C/digits201.py --workdir=runs/search
python launch/search.py --config=$C/nasbench201.py --workdir=runs/nasbench201 \\
    --config.benchmark.path=FILE
python launch/search.py --config=$C/digits201.py --workdir=runs/two \\
    --config.algorithms="('random_search','local_search')" --config.num_trials=100
python launch/search.py --config=$C/digits.py --workdir=runs/live --mode=drive \\
    --config.executor=dask

trials: independent searches on a table or surrogate, as compiled programs. drive: every
architecture that is asked for is trained, here, in processes or on a Dask cluster.
"""

from typing import Any

import command_line


def main(config: dict[str, Any], workdir: str, mode: str) -> None:
    from nasjax.jobs.search import trials  # imported late: --help does not wait for jax

    trials.run(config, workdir, mode)


if __name__ == "__main__":
    command_line.run(main, modes=("trials", "drive"), configs="configs/search")
