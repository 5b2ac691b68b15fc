"""Noise of learning curves: what one training adds to the mean of its architecture.

For example:

    import jax
    import jax.numpy as jnp
    import numpy as np
    from nasjax.nasbench.surrogate.noise import models

    residuals = 0.01 * np.random.default_rng(0).normal(size=(40, 20))
    noise = models.fit("std", jax.random.key(0), 0.9 + 0 * residuals, residuals)
    print(noise.sample(jax.random.key(1), jnp.full(20, 0.9)))
"""

from nasjax.core import lazy

__all__ = [
    "epoch_std",
    "gkde",
    "models",
    "seeds",
    "sliding_window",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
