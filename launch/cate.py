"""CATE: computation-aware encodings of architectures, and searches with them.

C=configs/cate
python launch/cate.py --config=$C/nasbench201.py --workdir=runs/cate201
python launch/cate.py --config=$C/nasbench201.py --workdir=runs/cate201 --mode=encodings
python launch/cate.py --config=$C/nasbench201.py --workdir=runs/cate201 --mode=search

pretrain: trains the variants with every seed, measures how well masked operations are
predicted, writes `seeds/S/VARIANT/embeddings.safetensors` (architectures and vectors).
encodings: how well accuracies are predicted from them and from other encodings.
search: CATE-DNGO-LS and what it is compared with.
"""

from typing import Any

import command_line


def main(config: dict[str, Any], workdir: str, mode: str) -> None:
    from nasjax.jobs.cate import modes  # late: --help does not wait for jax

    modes.run(config, workdir, mode)


if __name__ == "__main__":
    command_line.run(
        main, modes=("pretrain", "encodings", "search"), configs="configs/cate"
    )
