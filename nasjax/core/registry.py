"""Names that stand for functions: looking one up, and calling it with options.

Every registry of nasjax is a mapping of names to factories; `make` is how its package
calls one, so that a wrong name, a wrong option and a missing one read alike.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from nasjax.core import errors

T = TypeVar("T")


def find(kind: str, registry: Mapping[str, T], name: str) -> T:
    """The entry of a name.

    Args:
      kind: what the registry holds, such as `"search space"`.
      registry: entries by name.
      name: which one.

    Raises:
      ConfigError: there is none; the message suggests the nearest and lists all.
    """
    if not isinstance(name, str) or name not in registry:
        raise errors.unknown_name(kind, str(name), registry)
    return registry[name]


def options_of(factory: Callable[..., Any], taken: int = 0) -> dict[str, Any]:
    """The options of a factory with their defaults, without `taken` leading arguments.

    An option that has no default, so that a caller must give it, has
    `inspect.Parameter.empty`.
    """
    parameters = list(inspect.signature(factory).parameters.values())[taken:]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {item.name: item.default for item in parameters if item.kind in named}


def check(
    owner: str,
    factory: Callable[..., Any],
    options: Iterable[str],
    *,
    taken: int = 0,
    word: str = "option",
) -> None:
    """Raises a `ConfigError` unless the options fit the factory.

    Args:
      owner: whose options they are, such as `"the space 'darts'"`.
      factory: what will be called.
      options: names of what is given.
      taken: leading arguments that are given by position.
      word: what an option is called, such as `"setting"`.
    """
    known = options_of(factory, taken)
    parameters = inspect.signature(factory).parameters.values()
    if not any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters):
        for option in options:
            if option not in known:
                raise errors.unknown_name(f"{word} of {owner}", option, known)
    given = set(options)
    missing = [
        option
        for option, default in known.items()
        if default is inspect.Parameter.empty and option not in given
    ]
    if missing:
        needed = " and ".join(f"{option}=..." for option in missing)
        raise errors.ConfigError(f"{owner} needs {needed}")


def make(
    kind: str,
    registry: Mapping[str, Callable[..., T]],
    name: str,
    args: Sequence[Any] = (),
    options: Mapping[str, Any] | None = None,
    *,
    owner: str = "",
    word: str = "option",
) -> T:
    """What the factory of a name returns.

        make("search space", SPACES, "darts", (), {"none": True}, owner="the space")

    Args:
      kind: what the registry holds, for the message of an unknown name.
      registry: factories by name.
      name: which one.
      args: arguments by position.
      options: arguments by name.
      owner: what the messages about options call the thing; default: `the KIND`.
      word: what they call an option.

    Raises:
      ConfigError: there is no such name, it has no such option, or an option that it
        cannot do without is missing.
    """
    factory = find(kind, registry, name)
    options = dict(options or {})
    title = f"{owner or f'the {kind}'} {name!r}"
    check(title, factory, options, taken=len(args), word=word)
    return factory(*args, **options)
