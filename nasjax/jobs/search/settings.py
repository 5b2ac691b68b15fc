"""What a search configuration says of budget and algorithms.

An algorithm is an entry of `config.settings`: settings of its factory, and what the
factory cannot know: `algorithm` (its registry name, where the entry has another),
`num_trials` (where it has fewer than the others; with each embedding, where it has
several), `chunk_size` and `vectorized` of its trials, `against` (names of its controls,
where they are not those of all), and the keys of `search_inputs`.
"""

import functools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from nasjax import search
from nasjax.core import errors
from nasjax.core.types import LAST, Key
from nasjax.experiments import search_inputs
from nasjax.experiments.search_problem import Benchmark
from nasjax.jobs.search.problem import Config
from nasjax.search.algorithm import Evaluate, SearchAlgorithm

_JOB_KEYS = ("algorithm", "num_trials", "chunk_size", "vectorized", "against")
_EMBEDDING_KEYS = ("table", "table_size", "table_seed")

MAX_QUERIES = 10_000_000
"""Of a trial; ten times as many are gigabytes."""


class SearchBudget(NamedTuple):
    """What a trial may spend: 0 is no limit, but not all of them.

    Attributes:
      queries: evaluations.
      seconds: of the benchmark, or measured.
      epochs: trained epochs.
    """

    queries: int
    seconds: float
    epochs: int = 0


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


def budget(config: Config, reward: Benchmark | None = None) -> SearchBudget:
    """The budget of a trial.

    Raises:
      ConfigError: there is none, it is negative, or above `MAX_QUERIES`.
      DataError: it is in seconds, which `reward` does not record.
    """
    section = _section("budget", config["budget"])
    made = SearchBudget(
        section["queries"], float(section["seconds"]), section.get("epochs", 0)
    )
    if min(made) < 0 or max(made) == 0 or not math.isfinite(made.seconds):
        raise errors.ConfigError(
            f"budget.queries = {made.queries}, budget.seconds = {made.seconds} and "
            f"budget.epochs = {made.epochs}: give at least one of them a positive "
            "number"
        )
    if max(made.queries, made.epochs) > MAX_QUERIES:
        raise errors.ConfigError(
            f"budget.queries = {made.queries} and budget.epochs = {made.epochs} may be "
            f"at most {MAX_QUERIES:,}: a trial holds its whole history in memory"
        )
    if made.seconds and reward is not None and reward.seconds is None:
        raise errors.DataError(
            f"budget.seconds = {made.seconds:g}: the benchmark records no training "
            "time; use budget.queries"
        )
    return made


def min_epochs(config: Config) -> int | None:
    """Which trainings may be the incumbent, as `incumbents.incumbents` takes it.

    `config.min_epochs`: 0, or no such key: all; -1: those to the end.

    Raises:
      ConfigError: it is no whole number from -1.
    """
    given = config.get("min_epochs", 0)
    if type(given) is not int or given < LAST:
        raise errors.ConfigError(
            f"min_epochs = {given!r} must be a number of epochs; 0: all trainings may "
            "be the incumbent; -1: those to the end"
        )
    return given or None


def entries(
    config: Config, inputs: search_inputs.SearchInputs, evaluate: Evaluate
) -> list[Entry]:
    """The algorithms of `config.algorithms`, each ready to run.

    Args:
      config: `algorithms` are names of `settings`, or registry names.
      inputs: what they search and may read.
      evaluate: what they will be evaluated with; traced only.

    Raises:
      ConfigError: there is no such algorithm or setting, or it cannot search here.
    """
    names = list(config["algorithms"])
    if not names or len(set(names)) < len(names):
        raise errors.ConfigError(
            f"algorithms = {names}: name at least one, and none twice"
        )
    most = int(config["num_trials"])
    if most < 1:
        raise errors.ConfigError(f"num_trials = {most} must be at least 1")
    return [
        _entry(name, settings_of(config, name), most, inputs, evaluate)
        for name in names
    ]


def settings_of(config: Config, name: str) -> dict[str, Any]:
    """The settings of an entry, with its registry name as `algorithm`.

    Raises:
      ConfigError: the name is neither an entry nor an algorithm.
    """
    known = config.get("settings", {})
    if name not in known and name not in search.ALGORITHMS:
        raise errors.unknown_name("algorithm", name, {*known, *search.ALGORITHMS})
    return {"algorithm": name, **_section(f"settings.{name}", known.get(name, {}))}


def _section(place: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise errors.ConfigError(f"config.{place} is {value!r}; it must be a section")
    return value


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


def controls(config: Config, name: str) -> tuple[str, ...]:
    """Names of the entries that an entry is compared with.

    Raises:
      ConfigError: one is the entry itself or none of `config.algorithms` or `settings`.
    """
    own = settings_of(config, name).get("against")
    known = {*config["algorithms"], *config.get("settings", {})}
    if own is None:
        for other in config["controls"]:
            if other not in known | set(search.ALGORITHMS):
                raise errors.unknown_name("algorithm of controls", other, known)
        return tuple(other for other in config["controls"] if other != name)
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
