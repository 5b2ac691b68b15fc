"""Builds the embedded benchmark digits311: DARTS' genotypes on noisy digits.

python launch/nasbench_x11.py --mode=build --workdir=runs/digits311 \\
    --config=configs/nasbench_x11/digits311.py
2,500 random genotypes, 1,500 whose two cells are equal and 2,000 that searches found,
300 of them with five seeds; a killed build continues, and
--config.build.start_from=installed goes on from what is in the package. The file is
WORKDIR/digits311.safetensors; --mode=install puts it into the package.

No run is recorded yet.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.build = ml_collections.ConfigDict(
        {"benchmark": "digits311", "num_processes": 2}
    )
    return config
