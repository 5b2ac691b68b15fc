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
from collections.abc import Iterator

import jax

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
