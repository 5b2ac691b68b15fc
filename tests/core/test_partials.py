"""A benchmark's method is an argument of the program, not copied into it."""

import jax
import numpy as np
from flax import struct
from jax.tree_util import Partial

from nasjax.core import partials


class Owner(struct.PyTreeNode):
    values: jax.Array

    def evaluate(self, row):
        return self.values[row]


def test_a_method_of_a_pytree_carries_its_arrays():
    owner = Owner(np.arange(5.0))
    made = partials.as_partial(owner.evaluate)
    (leaf,) = jax.tree.leaves(made)
    assert leaf is owner.values
    assert jax.jit(lambda call, row: call(row))(made, 3) == 3.0
    assert partials.as_partial(made) is made
    assert jax.tree.structure(made) == jax.tree.structure(
        Partial(Owner.evaluate, Owner(np.zeros(5)))
    )


def test_other_functions_are_partials_without_arrays():
    assert jax.tree.leaves(partials.as_partial(np.sin)) == []
    assert jax.tree.leaves(partials.as_partial([].append)) == []
