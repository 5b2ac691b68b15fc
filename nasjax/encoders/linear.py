"""Linear maps of rows."""

from collections.abc import Mapping

import jax
from jax import lax

from nasjax.core.types import Array, Key


def init(key: Key, inputs: int, outputs: int) -> dict[str, Array]:
    """Kernel `[inputs, outputs]` and bias, both uniform in +-1/sqrt(inputs)."""
    limit = inputs**-0.5
    drawn = jax.random.uniform(key, (inputs + 1, outputs), minval=-limit, maxval=limit)
    return {"kernel": drawn[:-1], "bias": drawn[-1]}


def apply(params: Mapping[str, Array], x: Array) -> Array:
    """The map of rows `[R, inputs]`."""
    return product(x, params["kernel"]) + params["bias"][None]


@jax.custom_vjp
def product(x: Array, kernel: Array) -> Array:
    """`x @ kernel` for rows `[R, V]`; its slopes are about as fast as itself.

    XLA's CPU product x^T d takes longer than transposing x and multiplying; the barrier
    keeps it from merging the two.
    """
    return x @ kernel


def _product(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ kernel, (x, kernel)


def _product_slopes(saved: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    x, kernel = saved
    return slope @ kernel.T, lax.optimization_barrier(x.T) @ slope


product.defvjp(_product, _product_slopes)
