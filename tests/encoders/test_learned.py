"""Every learned encoding is fitted in one way."""

import jax
import numpy as np
import pytest

from nasjax.core.errors import ConfigError
from nasjax.encoders import corpus, learned

ARCHS = corpus.architectures("nasbench201", jax.random.key(0), count=80)
SMALL = {
    "arch2vec": {"changes": {"width": 8, "latent": 4}},
    "cate": {
        "batch_size": 16,
        "held_out": 0.2,
        "changes": {
            "num_layers": 1,
            "num_cross_layers": 1,
            "width": 4,
            "num_heads": 1,
            "hidden": 4,
            "cross_hidden": 4,
        },
    },
    "dvae": {"changes": {"width": 4, "latent": 4}},
}


@pytest.mark.parametrize("name", learned.LEARNED)
def test_each_embeds_what_it_has_not_seen_too(name):
    embed = learned.fit(
        name, jax.random.key(1), "nasbench201", ARCHS[:64], epochs=1, **SMALL[name]
    )
    vectors = embed(ARCHS)
    assert vectors.shape == (80, 4) and np.isfinite(vectors).all()
    np.testing.assert_allclose(embed(ARCHS[70:]), vectors[70:], atol=1e-5)


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="arch2vec, cate, dvae"):
        learned.fit("cates", jax.random.key(0), "nasbench201", ARCHS)
    with pytest.raises(ConfigError, match="epoch"):
        learned.fit("dvae", jax.random.key(0), "nasbench201", ARCHS, epoch=1)
