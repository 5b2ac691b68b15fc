"""The algorithms of a search configuration, each ready to run.

An algorithm is an entry of `config.settings`: settings of its factory, and what the
factory cannot know: `algorithm` (its registry name, where the entry has another),
`num_trials` (where it has fewer than the others; with each embedding, where it has
several), `chunk_size` and `vectorized` of its trials, `against` (names of its controls,
where they are not those of all), and the keys of `search_inputs`.
"""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from nasjax import search
from nasjax.core import errors
from nasjax.core.types import Key
from nasjax.experiments import search_inputs
from nasjax.jobs.search.settings import Search
from nasjax.search.algorithm import Evaluate, SearchAlgorithm

_JOB_KEYS = ("algorithm", "num_trials", "chunk_size", "vectorized", "against")
_EMBEDDING_KEYS = ("table", "table_size", "table_seed")


class Entry(NamedTuple):
    """One algorithm with its settings.

    Attributes:
      name: of the entry.
      kind: registry name of the algorithm.
      algorithm: made for the space.
      size: Q, architectures of one proposal.
      num_trials: how many independent runs, with each embedding.
      chunk_size: trials that are run and saved at once; 0: as many as fit.
      vectorized: False: the trials of a chunk run one after another.
      embeddings: a text for each embedding that it reads, equal in entries that read
        the same; none where it reads none.
      others: make the algorithm with the second, third, ... embedding.
    """

    name: str
    kind: str
    algorithm: SearchAlgorithm
    size: int
    num_trials: int
    chunk_size: int
    vectorized: bool
    embeddings: tuple[str, ...] = ()
    others: tuple[Callable[[], SearchAlgorithm], ...] = ()


def entries(
    config: Search, inputs: search_inputs.SearchInputs, evaluate: Evaluate
) -> list[Entry]:
    """The algorithms of `config.algorithms`, each ready to run.

    Args:
      config: `algorithms`, `settings` and `num_trials`.
      inputs: what they search and may read.
      evaluate: what they will be evaluated with; traced only.

    Raises:
      ConfigError: there is no such algorithm or setting, or it cannot search here.
    """
    return [
        _entry(
            name,
            settings_of(config.settings, name),
            config.num_trials,
            inputs,
            evaluate,
        )
        for name in config.algorithms
    ]


def settings_of(known: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The settings of an entry, with its registry name as `algorithm`.

    Args:
      known: entries by name.
      name: one of them, or a registry name.

    Raises:
      ConfigError: the name is neither an entry nor an algorithm.
    """
    if name not in known and name not in search.ALGORITHMS:
        raise errors.unknown_name("algorithm", name, {*known, *search.ALGORITHMS})
    entry = known.get(name, {})
    if not isinstance(entry, Mapping):
        raise errors.ConfigError(
            f"config.settings.{name} is {entry!r}; it must be a section"
        )
    return {"algorithm": name, **entry}


def _entry(
    name: str,
    settings: dict[str, Any],
    most: int,
    inputs: search_inputs.SearchInputs,
    evaluate: Evaluate,
) -> Entry:
    kind = settings["algorithm"]
    num_trials, chunk_size = (
        settings.get(key) or 0 for key in ("num_trials", "chunk_size")
    )
    own = {key: value for key, value in settings.items() if key not in _JOB_KEYS}
    try:
        chosen = search_inputs.embeddings(kind, own)
        makers = [
            functools.partial(search_inputs.make, kind, inputs, own | one)
            for one in chosen or [{}]
        ]
        algorithm = makers[0]()
        size = proposal_size(algorithm, evaluate)
    except errors.ConfigError as error:
        raise errors.ConfigError(f"{name}: {error}") from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # What factories do not check themselves dies when a step is traced.
        reason = str(error).split("\n")[0][:200]
        raise errors.ConfigError(
            f"{name}: it cannot search {inputs.space.name} with its settings "
            f"{own}: {type(error).__name__}: {reason}"
        ) from error
    return Entry(
        name=name,
        kind=kind,
        algorithm=algorithm,
        size=size,
        num_trials=min(num_trials or most, most),
        chunk_size=chunk_size,
        vectorized=bool(settings.get("vectorized", True)),
        embeddings=tuple(_embedding(own | one) for one in chosen),
        others=tuple(makers[1:]),
    )


def _embedding(settings: dict[str, Any]) -> str:
    """What tells an embedding from others."""
    named = {key: settings[key] for key in _EMBEDDING_KEYS if key in settings}
    return json.dumps(named, sort_keys=True)


def controls(config: Search, name: str) -> tuple[str, ...]:
    """Names of the entries that an entry is compared with.

    Raises:
      ConfigError: one is the entry itself or none of `config.algorithms` or `settings`.
    """
    own = settings_of(config.settings, name).get("against")
    known = {*config.algorithms, *config.settings}
    if own is None:
        for other in config.controls:
            if other not in known | set(search.ALGORITHMS):
                raise errors.unknown_name("algorithm of controls", other, known)
        return tuple(other for other in config.controls if other != name)
    known -= {name}
    for other in own:
        if other not in known:
            raise errors.unknown_name(f"control of {name}", other, known)
    return tuple(own)


def proposal_size(algorithm: SearchAlgorithm, evaluate: Evaluate) -> int:
    """Q, by tracing one step, which also finds what cannot work."""

    def step(key: Key) -> Any:
        state = algorithm.init(key)
        proposal, state = algorithm.ask(key, state)
        evaluation = jax.vmap(evaluate, (None, 0, 0, 0))(
            key, proposal.archs, proposal.epochs, proposal.trained
        )
        return proposal, algorithm.tell(state, proposal, evaluation)

    size: int = jax.eval_shape(step, jax.random.key(0))[0].archs.shape[0]
    return size
