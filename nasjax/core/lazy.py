"""Names of a package that are imported when they are first used.

A package that lists its modules this way loads none of them itself, so that reading
one table imports neither networks nor figures, and completion still shows all:

    __getattr__, __dir__ = lazy.attributes(__name__, __all__)
"""

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def attributes(
    package: str, names: Iterable[str], members: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package.

    Args:
      package: its `__name__`.
      names: its `__all__`: modules of the package, but for those in `members`.
      members: module of each name that is a function or class, from the package on,
        such as `"core.types"`.
    """
    public, homes = sorted(names), dict(members or {})

    def find(name: str) -> Any:
        if name in homes:
            home = importlib.import_module(f"{package}.{homes[name]}")
            return getattr(home, name)
        if name in public:
            return importlib.import_module(f"{package}.{name}")
        near = difflib.get_close_matches(name, public, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")

    return find, lambda: public
