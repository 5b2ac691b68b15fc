"""Search spaces as integers and keys: pure functions of one gene vector each.

For example:

    import jax
    from nasjax import spaces

    space = spaces.make("nasbench201")
    print(space.format_arch(space.sample(jax.random.key(0))))
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from nasjax.core import registry
from nasjax.core.types import SearchSpace
from nasjax.spaces import darts, nasbench101, nasbench201, nasbench_nlp, naslib

__all__ = [
    "SPACES",
    "SearchSpace",
    "darts",
    "make",
    "nasbench101",
    "nasbench201",
    "nasbench_nlp",
    "naslib",
]

SPACES: Mapping[str, Callable[..., SearchSpace]] = {
    "nasbench101": nasbench101.make,
    "nasbench201": nasbench201.make,
    "darts": darts.make,
    "darts_shared": functools.partial(darts.make, shared=True),
    "nasbench_nlp": nasbench_nlp.make,
}


def make(name: str, **options: Any) -> SearchSpace:
    """The space of a name.

    Args:
      name: a key of `SPACES`.
      **options: of the factory, such as `none=True` of "darts".

    Raises:
      ConfigError: there is no such space, or it has no such option.
    """
    return registry.make("search space", SPACES, name, (), options, owner="the space")
