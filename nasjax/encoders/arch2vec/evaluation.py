"""What a pre-trained variant has learnt: the measures of table 3.1."""

import jax.numpy as jnp
import numpy as np

from nasjax import spaces
from nasjax.core.types import Key
from nasjax.encoders.arch2vec import (
    generation,
    reconstruction,
    training,
    uniqueness,
)
from nasjax.encoders.arch2vec.pretraining import Pretrained


def measure(
    key: Key,
    trained: Pretrained,
    *,
    num_points: int = 10_000,
    means: np.ndarray | None = None,
) -> dict[str, float]:
    """Reconstruction of the held-out graphs, validity and uniqueness of random points.

    `uniqueness_ceiling` is the expected uniqueness of as many uniform draws from the
    space: from its encodings, on NAS-Bench-101 from its classes.

    Where points are scaled, the released code uses the means that it saw while it
    trained, the others those of the trained encoder.

    Args:
      key: of the points.
      trained: what is judged.
      num_points: how many graphs are decoded.
      means: float32 `[M, N, D]`, posterior means of the training graphs, where they
        are at hand.
    """
    model, recipe, state, graphs = trained
    moments = state.moments
    if model.settings.points == "prior":
        moments = jnp.stack([jnp.zeros_like(moments[0]), jnp.ones_like(moments[1])])
    elif not recipe.freeze:
        if means is None:
            means = training.posterior_means(model, state.weights, graphs.train)
        moments = jnp.stack([means.mean(0), means.std(0)])
    found = reconstruction.evaluate(model, state.weights, graphs.held_out)
    points = reconstruction.generate(key, model, state.weights, moments, num_points)
    valid = generation.evaluate(points, model.form.space)
    size = spaces.make(model.form.space).size or 0
    return {
        "uniqueness_ceiling": uniqueness.ceiling(size, int(valid.num_strict)),
        **{f"reconstruction_{name}": value for name, value in found._asdict().items()},
        **{name: float(value) for name, value in valid._asdict().items()},
    }
