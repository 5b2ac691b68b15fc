"""Builds the embedded benchmark digits111: NAS-Bench-101's cells on noisy digits.

python launch/nasbench_x11.py --mode=build --workdir=runs/digits111 \\
    --config=configs/nasbench_x11/digits111.py
7,000 uniform cells, 91 small ones and 900 that searches found, 500 of them with five
seeds: 10,000 trainings of about a second of one core; a killed build continues, and
--config.build.start_from=installed goes on from what is in the package. The file is
WORKDIR/digits111.safetensors; --mode=install puts it into the package.

No run is recorded yet.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.build = ml_collections.ConfigDict(
        {"benchmark": "digits111", "num_processes": 2}
    )
    return config
