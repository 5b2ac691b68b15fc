"""NAS-Bench-NLP recipes on the host: gene layout and the JSON notation.

A recipe is a JSON object that maps the name of each node to its operation and inputs,
as in the logs of the benchmark (Klyuchnikov et al., 2022):

    {"f": {"op": "linear", "input": ["x", "h_prev_0"]},
     "h_new_0": {"op": "activation_tanh", "input": ["f"]}}

Inputs are other nodes, the word `x` and the previous hidden states `h_prev_0..2`; the
nodes `h_new_0..2` are the new hidden states, `h_new_0` also the output of the cell.
"""

import heapq
import json
import re
from typing import Any

import numpy as np

from nasjax.core import errors
from nasjax.spaces import literals

OP_NAMES = (
    "activation_sigm",
    "activation_tanh",
    "activation_leaky_relu",
    "elementwise_sum",
    "elementwise_prod",
    "linear",
    "blend",
)
SUM, PROD, LINEAR, BLEND = 3, 4, 5, 6
NUM_OPS = len(OP_NAMES)
MIN_INPUTS = (1, 1, 1, 2, 2, 2, 3)
MAX_INPUTS = (1, 1, 1, 2, 2, 3, 3)
BASE = ("x", "h_prev_0", "h_prev_1", "h_prev_2")
NUM_BASE = len(BASE)
MAX_STEPS = 15
"""Nodes of the longest recipe that is read, base vertices not counted."""
MAX_HIDDEN = 3
MAX_INPUT = 3
NUM_GENES = MAX_STEPS * (1 + MAX_INPUT) + MAX_HIDDEN


def format_arch(arch: Any) -> str:
    """The JSON text of a recipe; nodes are called `node_i` unless they are hidden."""
    genes = np.asarray(arch)
    nodes = genes[:-MAX_HIDDEN].reshape(MAX_STEPS, 1 + MAX_INPUT).tolist()
    hidden = genes[-MAX_HIDDEN:].tolist()
    names = [*BASE, *(f"node_{i}" for i in range(MAX_STEPS))]
    for k, vertex in enumerate(hidden):
        if vertex >= 0:
            names[vertex] = f"h_new_{k}"
    recipe = {
        names[NUM_BASE + i]: {
            "op": OP_NAMES[op],
            "input": [names[vertex] for vertex in inputs if vertex >= 0],
        }
        for i, (op, *inputs) in enumerate(nodes)
        if op >= 0
    }
    return json.dumps(recipe)


def parse_arch(text: str) -> np.ndarray:
    """Gene vector int32 `[63]` of a recipe, its nodes in a topological order.

    The text is JSON, or the dictionary as Python prints it.

    Raises:
      UnknownArchitecture: the text is not a recipe, or one of more than 15 nodes or
        with nodes that no hidden state needs.
    """
    recipe = _read(text)
    if not isinstance(recipe, dict) or not recipe:
        raise errors.UnknownArchitecture(
            f"a recipe is a JSON object of nodes, not {literals.shown(text)}"
        )
    if len(recipe) > MAX_STEPS:
        raise errors.UnknownArchitecture(
            f"a recipe of {len(recipe)} nodes is too long; at most {MAX_STEPS} are read"
        )
    for name, node in recipe.items():
        _check_node(name, node, recipe)
    hidden = _hidden_states(recipe)
    _check_use(recipe, hidden)
    return _encode(recipe, _sorted(recipe), hidden)


def _read(text: str) -> Any:
    try:
        found = json.loads(text, object_pairs_hook=_distinct)
        if not isinstance(found, str):
            return found
        reason: Exception = ValueError("a text in quotation marks")
    except (ValueError, RecursionError) as error:
        reason = error
    try:
        return literals.read(text)
    except ValueError as error:
        raise errors.UnknownArchitecture(
            f"a recipe must be JSON, not {literals.shown(text)}: "
            f"{' '.join(str(reason)[:80].split())}"
        ) from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of the pairs; one that names a node twice is refused."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise errors.UnknownArchitecture("a recipe has the same name twice")
    return found


def _check_node(name: str, node: Any, recipe: dict[str, Any]) -> None:
    """Operation known, inputs known, different and as many as it takes."""
    if name in BASE or not isinstance(node, dict) or set(node) != {"op", "input"}:
        raise errors.UnknownArchitecture(
            f"node {name[:40]!r} must be {{'op': ..., 'input': [...]}} and have a name "
            f"that is none of {', '.join(BASE)}"
        )
    op, inputs = node["op"], node["input"]
    name = name[:40]
    if op not in OP_NAMES:
        written = op[:40] if isinstance(op, str) else type(op).__name__
        raise errors.UnknownArchitecture(
            f"node {name!r} has the unknown operation {written!r}"
            f"{errors.suggest(written, OP_NAMES)}"
        )
    if not isinstance(inputs, list | tuple) or not all(
        isinstance(v, str) for v in inputs
    ):
        raise errors.UnknownArchitecture(f"node {name!r} needs a list of input names")
    for vertex in inputs:
        if vertex not in BASE and vertex not in recipe:
            raise errors.UnknownArchitecture(
                f"node {name!r} reads {vertex[:40]!r}, which is not in the recipe"
            )
    kind = OP_NAMES.index(op)
    if not MIN_INPUTS[kind] <= len(set(inputs)) == len(inputs) <= MAX_INPUTS[kind]:
        raise errors.UnknownArchitecture(
            f"node {name!r}: {op} takes {MIN_INPUTS[kind]} to {MAX_INPUTS[kind]} "
            f"different inputs, not {len(inputs)} of which {len(set(inputs))} differ"
        )
    if "x" in inputs and kind != LINEAR:
        raise errors.UnknownArchitecture(
            f"node {name!r}: only a linear node may read x, whose size is another"
        )


def _hidden_states(recipe: dict[str, Any]) -> list[str]:
    """`h_new_0`, `h_new_1`, ... as far as they go without a gap."""
    named = [name for name in recipe if re.fullmatch(r"h_new_\d+", name)]
    expected = [f"h_new_{k}" for k in range(len(named))]
    if not 1 <= len(named) <= MAX_HIDDEN or set(named) != set(expected):
        raise errors.UnknownArchitecture(
            "a recipe has the hidden states h_new_0, or up to h_new_2 without a gap; "
            f"this one has {sorted(named)}"
        )
    return expected


def _check_use(recipe: dict[str, Any], hidden: list[str]) -> None:
    """Hidden states need all nodes, x and their own previous values, nothing else."""
    needed, todo = set(hidden), list(hidden)
    while todo:
        for vertex in recipe.get(todo.pop(), {"input": []})["input"]:
            if vertex not in needed:
                needed.add(vertex)
                todo.append(vertex)
    expected = {*recipe, *BASE[: 1 + len(hidden)]}
    for vertex in sorted(expected - needed):
        raise errors.UnknownArchitecture(
            f"no hidden state of the recipe needs {vertex!r}"
        )
    for vertex in sorted(needed - expected):
        raise errors.UnknownArchitecture(
            f"the recipe reads {vertex!r} but has no {vertex.replace('prev', 'new')!r}"
        )


def _sorted(recipe: dict[str, Any]) -> list[str]:
    """Topological order; among nodes that are ready the one listed first."""
    place = {name: i for i, name in enumerate(recipe)}
    missing = {
        name: {vertex for vertex in node["input"] if vertex in recipe}
        for name, node in recipe.items()
    }
    ready = [place[name] for name, inputs in missing.items() if not inputs]
    heapq.heapify(ready)
    names, order = list(recipe), []
    while ready:
        done = names[heapq.heappop(ready)]
        order.append(done)
        for name, inputs in missing.items():
            if done in inputs:
                inputs.remove(done)
                if not inputs:
                    heapq.heappush(ready, place[name])
    if len(order) < len(recipe):
        stuck = sorted(set(recipe) - set(order))
        raise errors.UnknownArchitecture(f"the nodes {stuck} wait for each other")
    return order


def _encode(recipe: dict[str, Any], order: list[str], hidden: list[str]) -> np.ndarray:
    vertices = {name: v for v, name in enumerate((*BASE, *order))}
    nodes = np.full((MAX_STEPS, 1 + MAX_INPUT), -1, np.int32)
    for row, name in zip(nodes, order, strict=False):
        inputs = [vertices[vertex] for vertex in recipe[name]["input"]]
        row[0] = OP_NAMES.index(recipe[name]["op"])
        row[1 : 1 + len(inputs)] = inputs
    states = np.full(MAX_HIDDEN, -1, np.int32)
    states[: len(hidden)] = [vertices[name] for name in hidden]
    return np.concatenate([nodes.reshape(-1), states])


SIMPLE_CELL = parse_arch(
    '{"f": {"op": "linear", "input": ["x", "h_prev_0"]},'
    ' "h_new_0": {"op": "activation_tanh", "input": ["f"]}}'
)
"""The simple recurrent cell: what stands in when no candidate is valid."""
