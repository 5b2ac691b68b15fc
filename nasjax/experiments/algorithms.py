"""Any registered algorithm by its name, with the inputs that it needs."""

from typing import Any

from nasjax.core import errors
from nasjax.core.types import SearchSpace
from nasjax.experiments import search_inputs
from nasjax.search.algorithm import SearchAlgorithm


def make(
    name: str, space: SearchSpace, benchmark: Any = None, **settings: Any
) -> SearchAlgorithm:
    """A search algorithm whose features, tables and networks may be names.

        space = spaces.make("nasbench201")
        experiments.make("bananas", space)
        experiments.make("latent_reinforce", space, table="one_hot")
        experiments.make("bo_gp", space, features="adjacency_one_hot")

    Args:
      name: a key of `search.ALGORITHMS`.
      space: what is searched, a registered space or an own one.
      benchmark: whose rows are the candidates of a search in a table; needed by those
        (`latent_...`, `supervised_...`) on a space that cannot be listed.
      **settings: of the algorithm; `features`, `table` and `network` by name as
        `experiments.search_inputs` says, or the function or arrays themselves.

    Raises:
      ConfigError: there is no such algorithm, setting or name, a setting does not fit,
        or the benchmark is of another space.
    """
    known = getattr(benchmark, "space", "") or space.name
    if known != space.name:
        raise errors.ConfigError(
            f"a benchmark of {known} cannot list architectures of {space.name}"
        )
    inputs = search_inputs.SearchInputs(space, benchmark, queries=0)
    return search_inputs.make(name, inputs, settings)
