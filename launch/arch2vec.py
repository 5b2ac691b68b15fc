"""arch2vec: unsupervised encodings of architectures, and searches with them.

C=configs/arch2vec
python launch/arch2vec.py --config=$C/nasbench201.py --workdir=runs/arch2vec201
python launch/arch2vec.py --config=$C/nasbench101.py --workdir=runs/arch2vec101
python launch/arch2vec.py --config=$C/darts.py --workdir=runs/arch2vec_darts
python launch/arch2vec.py --config=$C/nasbench201.py --workdir=runs/arch2vec201 \\
    --mode=pretrain
python launch/arch2vec.py --config=$C/nasbench201.py --workdir=runs/arch2vec201 \\
    --mode=search --config.search.benchmark.path=TABLE

train: pre-trains the variants, measures reconstruction, validity and uniqueness, writes
`embeddings_VARIANT.safetensors` (architectures and vectors) and figures. pretrain: the
same with each of `pretraining_seeds`, without figures (table 3.1 with intervals).
search: trials of searches with the embeddings of all seeds and without any (tables 3.2
and 3.3, figure 3.6); `--config.pretraining_seeds="(0,)"` reads those of `train` only.
"""

from typing import Any

import command_line


def main(config: dict[str, Any], workdir: str, mode: str) -> None:
    from nasjax.jobs.arch2vec import (
        pretrain,  # imported late: --help does not wait for jax
    )

    pretrain.run(config, workdir, mode)


if __name__ == "__main__":
    command_line.run(
        main, modes=("train", "pretrain", "search"), configs="configs/arch2vec"
    )
