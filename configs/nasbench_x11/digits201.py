"""Builds the embedded benchmark digits201 anew.

python launch/nasbench_x11.py --mode=build --workdir=runs/digits201 \\
    --config=configs/nasbench_x11/digits201.py
5,260 trainings a seed, half an hour to an hour of two cores; a killed build continues.
The file is WORKDIR/digits201.safetensors, which `nasbench.load` takes; the same command
with --mode=install puts it into the package.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.build = ml_collections.ConfigDict({"num_processes": 2})
    return config
