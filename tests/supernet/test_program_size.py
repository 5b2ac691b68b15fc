"""The step of three cells is a small program: every start hashes and reads it."""

import re

import jax
import jax.numpy as jnp

from nasjax.core import formulation
from nasjax.supernet import network, objective, spec

NET = spec.SupernetSpec(
    num_cells=3,
    channels=8,
    num_classes=10,
    image_shape=(8, 8, 1),
    reductions=spec.default_reductions(3),
)
"""The network of `configs/digits.py`."""


def test_no_matrix_of_taps_is_written_into_the_program():
    def arrays(shapes):
        return jax.tree.map(
            lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32),
            shapes,
            is_leaf=lambda x: isinstance(x, tuple),
        )

    operands = (
        arrays(spec.parameter_shapes(NET)),
        arrays((len(NET.arch_names), len(NET.edges), len(NET.operations))),
        jax.eval_shape(lambda: network.init_statistics(NET)),
        arrays((64, *NET.image_shape)),
        jax.ShapeDtypeStruct((64,), jnp.int32),
    )
    with formulation.use(formulation.CPU):
        text = objective.gradients.lower(*operands, net=NET).as_text()
    constants = re.findall(r"stablehlo\.constant dense<(.*?)>", text)
    assert constants and max(map(len, constants)) < 4096
    assert len(text) < 1.1e6  # 16.8 MB when taps were constants, 1.0 MB since
