"""The 56 columns of NAS-Bench-301 and NAS-Bench-311: a DARTS cell as a configuration.

The benchmarks describe an architecture by a configuration space: one categorical for
each of the 14 possible edges of either cell (active where the edge is chosen), one for
the pair of inputs of steps 3, 4 and 5, and 22 settings of the training that never
change. Columns are in the order in which the configuration space sorts: names without a
condition first, then the edges with one, each by the alphabet. An inactive edge is -1.
"""

import itertools
import math

import jax.numpy as jnp
import numpy as np

from nasjax.core.types import Array
from nasjax.encoders import adjacency
from nasjax.spaces import darts

_CELLS = ("normal", "reduce")
_DARTS = "NetworkSelectorDatasetInfo:darts"
_SCHEDULER = "SimpleLearningrateSchedulerSelector"


def _scaled_float(value: float, low: float, high: float, log: bool = False) -> float:
    """A value between its bounds, as a configuration space writes it into a vector."""
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _scaled_int(value: int, low: int, high: int, log: bool = False) -> float:
    """The same for an integer, whose bounds lie half a step farther out."""
    return _scaled_float(value, low - 0.49999, high + 0.49999, log)


CONSTANTS: dict[str, float] = {
    "CreateImageDataLoader:batch_size": _scaled_int(96, 64, 128, log=True),
    "ImageAugmentation:augment": 0.0,
    "ImageAugmentation:autoaugment": 0.0,
    "ImageAugmentation:cutout": 0.0,
    "ImageAugmentation:cutout_holes": _scaled_int(1, 1, 3),
    "ImageAugmentation:cutout_length": _scaled_int(16, 1, 50),
    "ImageAugmentation:fastautoaugment": 0.0,
    "LossModuleSelectorIndices:loss_module": 0.0,
    f"{_DARTS}:auxiliary": 0.0,
    f"{_DARTS}:drop_path_prob": 0.0,
    f"{_DARTS}:init_channels": _scaled_int(32, 1, 10_000),
    f"{_DARTS}:layers": _scaled_int(8, 1, 10_000),
    "NetworkSelectorDatasetInfo:network": 0.0,
    "OptimizerSelector:optimizer": 0.0,
    "OptimizerSelector:sgd:learning_rate": math.log(0.025),
    "OptimizerSelector:sgd:momentum": _scaled_float(0.9, 0.1, 0.99),
    "OptimizerSelector:sgd:weight_decay": math.log(0.0003),
    f"{_SCHEDULER}:cosine_annealing:T_max": _scaled_int(100, 1, 10_000),
    f"{_SCHEDULER}:cosine_annealing:eta_min": _scaled_float(1e-8, 0, 10_000),
    f"{_SCHEDULER}:lr_scheduler": 0.0,
    "SimpleTrainNode:batch_loss_computation_technique": 0.0,
    "SimpleTrainNode:mixup:alpha": _scaled_float(0.2, 0.01, 0.7, log=True),
}
"""Value of each setting that never changes; no tree of a surrogate can split on it."""

_EDGES = [
    f"{_DARTS}:edge_{cell}_{edge}"
    for cell in _CELLS
    for edge in range(adjacency.NUM_DARTS_EDGES)
]
_PAIRS = [
    f"{_DARTS}:inputs_node_{cell}_{node}" for cell in _CELLS for node in (3, 4, 5)
]
# The first step reads both inputs, so its two edges have no condition.
_FREE = [name for name in _EDGES if name.rsplit("_", 1)[1] in ("0", "1")]
COLUMNS: tuple[str, ...] = (
    *sorted([*CONSTANTS, *_PAIRS, *_FREE]),
    *sorted(set(_EDGES) - set(_FREE)),
)
"""Names of the 56 columns in their order."""

_EDGE_COLUMNS = np.array([COLUMNS.index(name) for name in _EDGES]).reshape(2, -1)
_PAIR_COLUMNS = np.array([COLUMNS.index(name) for name in _PAIRS]).reshape(2, -1)
_TEMPLATE = np.array([CONSTANTS.get(name, -1.0) for name in COLUMNS], np.float32)


def _pair_numbers() -> np.ndarray:
    """`[steps 1 to 3, low, high]`: place of a pair of inputs in its step."""
    numbers = np.zeros((darts.NUM_STEPS - 1, darts.NUM_STEPS + 1, darts.NUM_STEPS + 1))
    for step in range(1, darts.NUM_STEPS):
        pairs = itertools.combinations(range(step + 2), 2)
        for place, (low, high) in enumerate(pairs):
            numbers[step - 1, low, high] = place
    return numbers.astype(np.float32)


_PAIR_NUMBERS = _pair_numbers()


def encode(arch: Array) -> Array:
    """float32 `[56]` of a gene vector `[32]`, or of the `[16]` of a shared cell."""
    ops, edges = adjacency.darts_edges(arch)
    ops, edges = (jnp.broadcast_to(values, (2, 8)) for values in (ops, edges))
    inputs = jnp.asarray(arch).reshape(-1, darts.NUM_STEPS, 2, 2)[:, 1:, :, 1]
    low, high = jnp.min(inputs, axis=-1), jnp.max(inputs, axis=-1)
    pairs = jnp.asarray(_PAIR_NUMBERS)[np.arange(3)[None], low, high]
    cell = np.arange(2)[:, None]
    columns = jnp.asarray(_EDGE_COLUMNS)[cell, edges]
    row = jnp.asarray(_TEMPLATE).at[columns].set(ops.astype(jnp.float32))
    return row.at[_PAIR_COLUMNS].set(jnp.broadcast_to(pairs, (2, 3)))
