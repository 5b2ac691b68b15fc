"""Training by minibatches of the rows in a mask, inside jit.

The number of rows is known only when the program runs, so the loop over steps has a
dynamic length: a fit of 16 rows in a buffer of 100 costs what 16 rows cost. Under vmap
it runs as long as its slowest member; members of equal size lose nothing.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.flatten_util import ravel_pytree

from nasjax.core.types import Array, Key

Params = TypeVar("Params")
Loss = Callable[[Params, Any, Array], Array]
"""`(params, batch, valid [B]) -> []`: rows of the batch count where valid is 1."""
NoisyLoss = Callable[[Params, Any, Array, Key], Array]
"""The same of a network with dropout; the key is another one at every step."""


def permutations(key: Key, mask: Array, epochs: int) -> Array:
    """Orders of the rows, a fresh one each epoch.

    Args:
      key: PRNG key.
      mask: bool `[P]`.
      epochs: T.

    Returns:
      int32 `[T, P]`: each row holds the rows in the mask in random order, then the
      others. Rows of padding at the end do not change the order of the others.
    """
    num_rows = mask.shape[0]
    bits = max(num_rows - 1, 1).bit_length()
    # One draw, row after row, so that more rows leave those before them as they are.
    draws = jax.random.bits(key, (num_rows * epochs,), jnp.uint32)
    draws = draws.reshape(num_rows, epochs).T
    # The row number sits in the low bits of what is sorted: a sort of single integers
    # is several times faster than one of keys and values.
    draws = jnp.where(mask[None], draws >> 1, jnp.uint32(1 << 31))
    rows = jnp.arange(num_rows, dtype=jnp.uint32)[None]
    low = jnp.uint32((1 << bits) - 1)
    orders: Array = (jnp.sort((draws & ~low) | rows, axis=1) & low).astype(jnp.int32)
    return orders


def train(
    key: Key,
    params: Params,
    loss: Loss[Params] | NoisyLoss[Params],
    optimizer: optax.GradientTransformation,
    data: Any,
    mask: Array,
    *,
    epochs: int,
    batch_size: int,
    drop_last: bool = False,
    anneal: bool = False,
    noisy: bool = False,
) -> Params:
    """Minimises a loss over minibatches drawn without replacement in every epoch.

    Args:
      key: PRNG key of the orders.
      params: initial parameters, of one type.
      loss: of one minibatch.
      optimizer: acts on each parameter alone; it sees them as one vector.
      data: tree of arrays with the leading axis P.
      mask: bool `[P]`.
      epochs: passes over the rows in the mask.
      batch_size: B.
      drop_last: leave the incomplete batch of every epoch out, unless it is the only
        one.
      anneal: scale the updates from 1 to 0 along half a cosine.
      noisy: the loss is a `NoisyLoss`.

    Returns:
      The trained parameters; the initial ones where the mask is empty.
    """
    vector, unravel = ravel_pytree(params)
    key_noise = key
    if noisy:
        key, key_noise = jax.random.split(key)
    orders = permutations(key, mask, epochs)
    orders = jnp.pad(orders, ((0, 0), (0, -orders.shape[1] % batch_size)))
    count = jnp.sum(mask).astype(jnp.int32)
    full = count // batch_size
    partial = (count % batch_size > 0).astype(jnp.int32)
    batches = jnp.maximum(full, partial) if drop_last else full + partial
    num_steps = epochs * batches

    def vector_loss(vector: Array, batch: Any, valid: Array, index: Array) -> Array:
        noise = (jax.random.fold_in(key_noise, index),) if noisy else ()
        return loss(unravel(vector), batch, valid, *noise)

    def step(index: Array, carry: tuple[Array, Any]) -> tuple[Array, Any]:
        vector, state = carry
        epoch, start = index // batches, index % batches * batch_size
        rows = lax.dynamic_slice(orders, (epoch, start), (1, batch_size))[0]
        valid = start + jnp.arange(batch_size) < count
        batch = jax.tree.map(lambda leaf: leaf[rows], data)
        valid = valid.astype(vector.dtype)
        slope = jax.grad(vector_loss)(vector, batch, valid, index)
        updates, state = optimizer.update(slope, state, vector)
        if anneal:
            updates *= (1 + jnp.cos(jnp.pi * index / num_steps)) / 2
        return optax.apply_updates(vector, updates), state

    start = (vector, optimizer.init(vector))
    trained: Params = unravel(lax.fori_loop(0, num_steps, step, start)[0])
    return trained


def mean(values: Array, valid: Array) -> Array:
    """Mean of `values` `[B]` over the valid rows."""
    return jnp.sum(values * valid) / jnp.maximum(jnp.sum(valid), 1)
