"""Trials of one algorithm with several embeddings, each a cluster of trials.

What is learnt or drawn before a search, such as the pre-training of an embedding,
varies as the trials do: an entry whose `table` or `table_seed` is a list has
`num_trials` trials with each of them, and its intervals are over the clusters. All
share one compiled program: embeddings are its arguments.
"""

import pathlib
from typing import Any

import jax
import numpy as np

from nasjax.core import signals
from nasjax.experiments.search_problem import Problem
from nasjax.jobs.search import chunks
from nasjax.jobs.search.algorithms import Entry
from nasjax.jobs.search.settings import Search
from nasjax.search.algorithm import SearchAlgorithm, as_argument


def keys(config: Search, entry: Entry, cluster: int) -> jax.Array:
    """One key for each trial of a cluster, the same for all algorithms.

    Those of the first cluster are the keys of entries without clusters.
    """
    key = jax.random.key(config.seed)
    if cluster:
        key = jax.random.fold_in(key, cluster)
    return jax.random.split(key, config.num_trials)[: entry.num_trials]


def run(
    config: Search,
    entry: Entry,
    made: Problem,
    folder: pathlib.Path,
    stop: signals.StopSignal,
) -> chunks.Trials:
    """Runs the trials of all clusters, or reads those that are finished.

    Args:
      config: `seed`, `num_trials` and `budget`.
      entry: the algorithm.
      made: what is searched.
      folder: of the entry; a cluster beyond the first has a folder of its own in it.
      stop: checked after every chunk.

    Raises:
      ConfigError: an embedding does not fit the space.
      DataError: an embedding cannot be read, or no evaluation gave a score.
      search.Stopped: the process was asked to stop; finished chunks are saved.
    """
    parts = []
    for number, make in enumerate((None, *entry.others)):
        place, member = folder, entry
        if make is not None:  # made here: one embedding more at a time is in memory
            place = folder / f"embedding_{number}"
            member = entry._replace(algorithm=with_arrays(entry.algorithm, make()))
        chosen = keys(config, entry, number)
        parts.append(chunks.run(chosen, member, made, config.budget, place, stop))
    return chunks.join(parts)


def with_arrays(first: SearchAlgorithm, other: SearchAlgorithm) -> SearchAlgorithm:
    """The functions of `first` with the arrays of `other`, of equal settings.

    A program is compiled for an algorithm's functions and the shapes of its arrays, so
    that one serves all embeddings of a size. `other` itself where nothing differs, as
    then its embedding is no argument.
    """
    leaves, structure = jax.tree.flatten(as_argument(first))
    arrays = jax.tree.leaves(as_argument(other))
    if len(leaves) != len(arrays) or all(map(np.array_equal, leaves, arrays)):
        return other
    replaced: Any = jax.tree.unflatten(structure, arrays)
    return SearchAlgorithm(*replaced)
