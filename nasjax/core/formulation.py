"""Which formulation of a layer is traced: one for accelerators, one for CPUs.

XLA's own convolutions are the right choice on GPU and TPU. On CPU its depthwise and
dilated convolutions, and the gradients of its pooling windows, are 5-15 times slower
than sums of shifted copies or small matrix products, so there the layers of this folder
are written in those terms. Every formulation computes the same numbers up to rounding.

Feature maps are `[..., C, H, W, N]` everywhere, batch last: on CPU a shift is then a
block offset with a contiguous inner loop over images, and on accelerators XLA picks the
physical layout itself.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core import errors

LAX = "lax"
"""XLA's convolutions and reduction windows."""
CPU = "cpu"
"""Shifted sums and matrix products."""

_override: contextvars.ContextVar[str] = contextvars.ContextVar("formulation")


def current() -> str:
    """Returns the formulation that layers traced now will use."""
    default = CPU if jax.default_backend() == "cpu" else LAX
    return _override.get(default)


@contextlib.contextmanager
def use(name: str) -> Iterator[None]:
    """Traces layers with the named formulation inside the `with` block.

    Only tracing looks at it: a function that was jitted before keeps what it was
    compiled with.
    """
    if name not in (LAX, CPU):
        raise errors.unknown_name("formulation", name, (LAX, CPU))
    token = _override.set(name)
    try:
        yield
    finally:
        _override.reset(token)


def compute_apart(
    function: Callable[..., jax.Array], *operands: jax.Array
) -> jax.Array:
    """Returns `function(*operands)`, evaluated once, stored, and fused with nothing.

    XLA's CPU backend fuses a producer into each of its consumers: a pooling window
    would evaluate the sum behind a node once a tap, and a sum of shifted copies loses
    its vector loop to a reshape that follows it. Optimisation barriers do not survive
    until fusion there; a conditional that the compiler cannot decide does. Its other
    branch, NaN everywhere, is taken where the first element of the last operand is not
    a finite number, in a training that has diverged anyway.
    """
    if current() != CPU:
        return function(*operands)
    last = lax.stop_gradient(operands[-1])
    witness = lax.squeeze(
        lax.slice(last, [0] * last.ndim, [1] * last.ndim), range(last.ndim)
    )
    shape = jax.eval_shape(function, *operands)

    def diverged(*_: jax.Array) -> jax.Array:
        return jnp.full(shape.shape, jnp.nan, shape.dtype)

    found: jax.Array = lax.cond(lax.is_finite(witness), function, diverged, *operands)
    return found


def materialize(x: jax.Array) -> jax.Array:
    """Returns `x` after storing it; stores its cotangent too (see `compute_apart`)."""
    return _stored(x) if current() == CPU else x


# Jitted, so that maps of one shape are traced and differentiated once.
@jax.jit
def _stored(x: jax.Array) -> jax.Array:
    return compute_apart(_same, x)


def _same(x: jax.Array) -> jax.Array:
    return x
