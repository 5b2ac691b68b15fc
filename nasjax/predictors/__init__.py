"""Performance predictors: regressions from architecture features to a score.

For example:

    import jax
    import jax.numpy as jnp
    from nasjax import predictors

    features, mask = jax.random.uniform(jax.random.key(0), (16, 4)), jnp.ones(16, bool)
    model = predictors.make("bayesian_linear")
    state = jax.jit(model.fit)(jax.random.key(1), features, features.sum(1), mask)
    print(model.predict(state, features))
"""

from collections.abc import Callable, Mapping
from typing import Any

from nasjax.core import registry
from nasjax.predictors import (
    bayesian_linear,
    bohamiann,
    dngo,
    gcn,
    gp,
    linear,
    mlp_ensemble,
)
from nasjax.predictors.predictor import Prediction, Predictor
from nasjax.predictors.regressor import Regressor

__all__ = ["PREDICTORS", "Prediction", "Predictor", "Regressor", "make"]

PREDICTORS: Mapping[str, Callable[..., Predictor]] = {
    "bayesian_linear": bayesian_linear.bayesian_linear,
    "bogcn": gcn.bogcn,
    "bohamiann": bohamiann.bohamiann,
    "dngo": dngo.dngo,
    "gcn": gcn.gcn,
    "gp": gp.gp,
    "linear": linear.linear,
    "mlp_ensemble": mlp_ensemble.mlp_ensemble,
}
"""Factories by name. All take features `[P, D]` but `gcn` and `bogcn`, which take a
batch of graphs."""


def make(name: str, **options: Any) -> Predictor:
    """The predictor of a name.

    Args:
      name: a key of `PREDICTORS`.
      **options: of its factory, such as `num_ops` of "gcn".

    Raises:
      ConfigError: there is no such predictor, it has no such option, an option that
        it needs is missing, or one has no possible value.
    """
    return registry.make("predictor", PREDICTORS, name, (), options)
