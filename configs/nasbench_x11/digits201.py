"""Builds the embedded benchmark digits201 anew.

python launch/nasbench_x11.py --mode=build --workdir=runs/digits201 \\
    --config=configs/nasbench_x11/digits201.py
5,260 trainings a seed; a killed build continues. The file is
WORKDIR/digits201.safetensors, which `nasbench.load` takes; the same command with
--mode=install puts it into the package.

Measured (docs/results/data/digits201_build.json): five seeds, 9.7 MB; .49 CPU seconds a
training, some 43 CPU minutes a seed; two seeds have a Spearman correlation of .979.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.build = ml_collections.ConfigDict({"num_processes": 2})
    return config
