"""How graph predictors read the architectures of a space."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from nasjax import predictors
from nasjax.core import errors
from nasjax.core.types import Array, Graph, SearchSpace
from nasjax.predictors import Predictor

ToGraph = Callable[[Array], Graph]
"""`(arch [G]) -> Graph`."""


def predictor(
    name: str,
    space: SearchSpace,
    to_graph: ToGraph | None,
    num_ops: int | None,
    options: Mapping[str, Any] | None,
) -> tuple[Predictor, ToGraph]:
    """A predictor of graphs, and the function that makes them.

    Args:
      name: "gcn" or "bogcn".
      space: whose `to_graph` and operations are used where the next two are None.
      to_graph: `(arch [G]) -> Graph`.
      num_ops: O, operation ids of a cell.
      options: of the predictor.

    Raises:
      ConfigError: the number of operations is not known, or an option does not fit.
    """
    if to_graph is None:
        to_graph = space.to_graph
    if to_graph is None:
        raise errors.ConfigError(
            f"the space {space.name!r} has no to_graph: pass to_graph=... and "
            "num_ops=..., or take a search that reads no graphs"
        )
    if num_ops is None:
        num_ops = len(space.graph_op_names)
        if to_graph is not space.to_graph or not num_ops:
            raise errors.ConfigError(
                f"num_ops=... is needed, the number of operation ids in the graphs "
                f"of {space.name}"
            )
    graph = jax.eval_shape(lambda key: to_graph(space.sample(key)), jax.random.key(0))
    chosen = predictors.make(
        name, num_ops=num_ops, cell_axis=graph.ops.ndim == 2, **(options or {})
    )
    return chosen, to_graph
