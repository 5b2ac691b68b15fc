"""What algorithms read besides the space: encodings, embeddings and buffer sizes.

Factories of `search.ALGORITHMS` take functions and arrays where a configuration can
only name them. An entry's settings name

    features       an encoding of `encoders.ENCODINGS`, with `features_options`, or
                   "one_hot" genes; BANANAS reads the first of `FEATURES` that the
                   space has where none is named
    table          "one_hot" genes; "random_projection" of them, with `table_size` (16)
                   and `table_seed` (0); or a safetensors file of `archs` and `vectors`;
                   searches that learn their embedding read its `archs` only. A list of
                   files or of seeds has trials with each (`clusters`)
    network        "gin", arch2vec's encoder without pre-training, with
                   `network_options`
    capacity       is the budget in queries where it is not given
    max_epochs     is the benchmark's last where it is not given

and everything else goes to the factory as it stands.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import encoders, search
from nasjax.core import arrays, errors, read_guard, registry
from nasjax.core.types import SearchSpace
from nasjax.encoders.arch2vec import supervised
from nasjax.nasbench.table import TabularBenchmark
from nasjax.search import embedding_table, gene_features
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.embedding_table import EmbeddingTable
from nasjax.spaces import nasbench101_cells, nasbench201

RANDOM_PROJECTION = "random_projection"
ONE_HOT = "one_hot"
NETWORKS = {"gin": supervised.network}
"""Encoders that learn with the search: `factory(space name, **options)`."""
FEATURES = {"bananas": ("path_one_hot", "adjacency_one_hot", ONE_HOT)}
"""Encodings of algorithms that have one of their own: the first that fits the space."""

_NETWORKS = {
    "bananas": "mlp",
    "bohamiann": "mlp",
    "dngo": "mlp",
    "ensemble": "mlp",
    "bogcn": "gcn",
    "neural": "gcn",
    "xgboost": "xgb",
    "lightgbm": "lgb",
}
"""The technique behind a word in the name of an algorithm or predictor."""


class SearchInputs(NamedTuple):
    """Where inputs come from.

    Attributes:
      space: what is searched.
      benchmark: whose rows are the architectures of a table, or None.
      queries: of a trial, 0 where the budget is in seconds only.
    """

    space: SearchSpace
    benchmark: Any
    queries: int


def make(
    kind: str, inputs: SearchInputs, settings: Mapping[str, Any]
) -> SearchAlgorithm:
    """An algorithm of the registry with what its settings name.

    Args:
      kind: a key of `search.ALGORITHMS`.
      inputs: where inputs come from.
      settings: of the entry.

    Raises:
      ConfigError: there is no such algorithm, setting, encoding or file, or the
        settings do not fit the space.
    """
    known = _settings(kind)
    given = {key: value for key, value in settings.items() if value is not None}
    # Where both are possible, a table is used where one is named.
    if "table" in known:
        if "features" not in known:
            given.setdefault("table", RANDOM_PROJECTION)
        _name_table(given, inputs)
    if "network" in known:
        _name_network(given, inputs)
    if "features" in known:
        given.setdefault("features", _default_features(kind, inputs.space))
        _name_features(given, inputs.space)
    if "max_epochs" in known and inputs.benchmark is not None:
        given.setdefault("max_epochs", int(inputs.benchmark.epochs[-1]))
    if has_open_capacity(kind, given) and inputs.queries:
        given["capacity"] = inputs.queries
    return search.make(kind, inputs.space, **given)


def has_open_capacity(kind: str, settings: Mapping[str, Any]) -> bool:
    """Whether the budget in queries decides the capacity of an algorithm's buffers."""
    return "capacity" in _settings(kind) and settings.get("capacity") is None


def learns(kind: str) -> bool:
    """Whether an algorithm learns its embedding: of a table it reads `archs` only."""
    return "network" in _settings(kind)


def _settings(kind: str) -> dict[str, Any]:
    """The settings of an algorithm with their defaults."""
    factory = registry.find("search algorithm", search.ALGORITHMS, kind)
    return registry.options_of(factory, taken=1)


def embeddings(kind: str, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Settings that stand for each embedding that the entry reads; none: no entry.

    Args:
      kind: a key of `search.ALGORITHMS`.
      settings: of the entry; `table` or `table_seed`, not both, may be a list.

    Raises:
      ConfigError: there is no such algorithm, a list is empty or names one embedding
        twice, both are lists, or an algorithm that learns its embedding has several.
    """
    known = _settings(kind)
    lists = {
        key: list(settings[key])
        for key in ("table", "table_seed")
        if isinstance(settings.get(key), list | tuple)
    }
    for key, values in lists.items():
        if not values or len({str(value) for value in values}) < len(values):
            raise errors.ConfigError(
                f"{key} = {values}: name at least one, and none twice"
            )
    if learns(kind) or "table" not in known:
        if lists:
            raise errors.ConfigError(
                f"{kind} reads no embedding: {', '.join(lists)} must not be a list"
            )
        return []
    if len(lists) > 1:
        raise errors.ConfigError("table and table_seed are lists: only one may be")
    if lists:
        ((key, values),) = lists.items()
        return [{key: value} for value in values]
    if settings.get("table") == ONE_HOT:
        return []
    named = settings.get("table") or "features" not in known
    return [{"table": settings.get("table", RANDOM_PROJECTION)}] if named else []


def _default_features(kind: str, space: SearchSpace) -> str:
    """The encoding of an algorithm that has one of its own, "" for others."""
    for name in FEATURES.get(kind, ()):
        if name == ONE_HOT or space.name in encoders.spaces_of(name):
            return name
    return ""


def _name_features(given: dict[str, Any], space: SearchSpace) -> None:
    """Replaces the name of an encoding by its function; a function stays."""
    name, options = given.pop("features", ""), given.pop("features_options", {})
    if callable(name):
        given["features"] = name
    elif name == ONE_HOT:
        given["features"] = gene_features.one_hot(space)
    elif name:
        given["features"] = encoders.make(name, space.name, **options)


def _name_table(given: dict[str, Any], inputs: SearchInputs) -> None:
    """Replaces the name of a table by its arrays; arrays stay."""
    if isinstance(given.get("table"), EmbeddingTable):
        return
    name = given.pop("table", "")
    size, seed = given.pop("table_size", 16), given.pop("table_seed", 0)
    if name == RANDOM_PROJECTION:
        given["table"] = embedding_table.random_projection(
            jax.random.key(seed), inputs.space, candidates(inputs), num_features=size
        )
    elif name == ONE_HOT:
        given["table"] = _one_hot(inputs)
    elif name:
        given["table"] = read_table(name, inputs.space)


def _one_hot(inputs: SearchInputs) -> EmbeddingTable:
    """All architectures by their one-hot genes."""
    archs = jnp.asarray(candidates(inputs), jnp.int32)
    vectors = jax.vmap(gene_features.one_hot(inputs.space))(archs)
    return EmbeddingTable(archs, vectors.astype(jnp.float32))


def _name_network(given: dict[str, Any], inputs: SearchInputs) -> None:
    """Replaces names by an encoder and the architectures that it embeds."""
    name, options = given.pop("network", "gin"), given.pop("network_options", {})
    if not isinstance(name, str):
        given["network"] = name
    else:
        given["network"] = registry.make(
            "network", NETWORKS, name, (inputs.space.name,), options
        )
    table = given.pop("table", "")
    if "candidates" not in given:
        given["candidates"] = (
            read_table(table, inputs.space).archs if table else candidates(inputs)
        )


def candidates(inputs: SearchInputs) -> np.ndarray:
    """int32 `[N, G]`, all architectures of a space that can be listed.

    NAS-Bench-201 is listed by itself, other spaces by the rows of their table; without
    one, NAS-Bench-101 is enumerated.

    Raises:
      ConfigError: there is no list.
    """
    listed = isinstance(inputs.benchmark, TabularBenchmark)
    rows = inputs.benchmark.archs if listed else None
    if inputs.space.name == "nasbench201" and (
        rows is None or len(rows) < nasbench201.SIZE
    ):
        return nasbench201.enumerate_cells()
    if rows is None and inputs.space.name == "nasbench101":
        return nasbench101_cells.cells().archs
    if rows is None:
        raise errors.ConfigError(
            f"the architectures of {inputs.space.name} are not listed: name a file of "
            "`archs` and `vectors` as table"
        )
    return np.asarray(rows, np.int32)


@read_guard.guarded("not a table of embeddings", remedy="make it again")
def read_table(path: str, space: SearchSpace) -> EmbeddingTable:
    """Embeddings from a safetensors file of `archs` `[N, G]` and `vectors` `[N, D]`.

    Where rows share vectors `[U, D]`, `codes` `[N]` say which each has.

    Raises:
      DataError: the file is missing or damaged, or lacks one of the two.
      ConfigError: the architectures are not of the space.
    """
    tree = arrays.load(path)
    for key in ("archs", "vectors"):
        if key not in tree:
            near = errors.suggest(key, tree)
            raise errors.DataError(f"{path}: no array {key!r}{near}")
    if not np.issubdtype(tree["archs"].dtype, np.integer):
        raise errors.DataError(
            f"{path}: genes in `archs` are whole numbers, not {tree['archs'].dtype}"
        )
    codes = None
    if "codes" in tree:
        stored, count = np.asarray(tree["codes"]), len(tree["vectors"])
        if stored.ndim != 1 or ((stored < 0) | (stored >= count)).any():
            raise errors.DataError(f"{path}: `codes` are not numbers 0 to {count - 1}")
        codes = jnp.asarray(stored, jnp.int32)
    table = EmbeddingTable(
        jnp.asarray(tree["archs"], jnp.int32),
        jnp.asarray(tree["vectors"], jnp.float32),
        codes=codes,
    )
    embedding_table.check(table, space, needed=1)
    return table


def techniques(kind: str, settings: Mapping[str, Any]) -> set[str]:
    """Words for what an algorithm is made of, as surrogates name theirs.

    Read from the names of the algorithm, its predictor, features and table.
    """
    named = (
        kind,
        *(settings.get(key, "") for key in ("predictor", "features", "table")),
    )
    words = {word for name in named for word in re.split(r"[^a-z0-9]+", str(name))}
    return (words | {_NETWORKS[word] for word in words if word in _NETWORKS}) - {""}
