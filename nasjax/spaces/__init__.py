"""Search spaces as integers and keys: pure functions of one gene vector each."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from nasjax.core import errors
from nasjax.core.types import SearchSpace
from nasjax.spaces import darts, nasbench101, nasbench201, nasbench_nlp

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
    if name not in SPACES:
        raise errors.unknown_name("search space", name, SPACES)
    known = inspect.signature(SPACES[name]).parameters
    for option in options:
        if option not in known:
            raise errors.unknown_name(f"option of the space {name!r}", option, known)
    return SPACES[name](**options)
