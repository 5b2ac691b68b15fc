"""Transformer blocks: parity with plain numpy, slopes, masks, dropout."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_attention as plain

from nasjax.core import attention, formulation

HEADS, WIDTH, NODES, BATCH = 2, 6, 4, 3
SIZES = attention.Sizes(num_layers=2, width=WIDTH, num_heads=HEADS, hidden=5)


def random_params(dtype):
    """Initial parameters with nothing at its initial 0 or 1."""
    params = attention.init(jax.random.key(0), SIZES)
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    moved = [np.asarray(x) + rng.normal(0, 0.3, x.shape) for x in leaves]
    return jax.tree.unflatten(tree, [jnp.asarray(x, dtype) for x in moved])


def random_case(dtype, heads=HEADS):
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(WIDTH, NODES, BATCH)), dtype)
    mask = rng.random((heads, NODES, NODES, BATCH)) < 0.6
    mask[:, 1] = False  # a row that may attend nothing
    return x, jnp.asarray(mask)


@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize("heads", [1, HEADS])
def test_parity_with_plain_blocks(uniform, heads):
    with jax.enable_x64(True):
        params, (x, mask) = random_params(jnp.float64), random_case(jnp.float64, heads)
        apply = functools.partial(attention.apply, num_heads=HEADS, uniform=uniform)
        found = jax.jit(apply)(params, x, mask)
        assert found.dtype == jnp.float64
    host = jax.tree.map(np.asarray, params)
    for b in range(BATCH):
        there = np.asarray(x)[..., b].T, np.asarray(mask)[..., b]
        expected = plain.stack(host, *there, HEADS, uniform)
        np.testing.assert_allclose(found[..., b].T, expected, atol=1e-12)


def _plain_loss(params, x, mask, uniform):
    """The same by einsum, differentiated by jax."""

    def norm(x, given):
        centred = x - x.mean(-1, keepdims=True)
        var = (centred**2).mean(-1, keepdims=True)
        scale, bias = (given[name][None, None] for name in ("scale", "bias"))
        return centred / jnp.sqrt(var + 1e-5) * scale + bias

    def linear(x, given):
        return x @ given["kernel"] + given["bias"][None, None]

    x, mask = jnp.moveaxis(x, -1, 0).swapaxes(1, 2), jnp.moveaxis(mask, -1, 0)
    for index in range(SIZES.num_layers):
        layer = jax.tree.map(lambda leaf, i=index: leaf[i], params["layers"])
        qkv = linear(norm(x, layer["attention_norm"]), layer["qkv"])
        qkv = qkv.reshape(BATCH, NODES, 3, HEADS, -1)
        queries, keys, values = (qkv[:, :, i] for i in range(3))
        scores = jnp.einsum("bihd,bjhd->bhij", queries, keys) / np.sqrt(WIDTH / HEADS)
        weights = jax.nn.softmax(jnp.where(mask, scores, -1e9))
        weights = weights if uniform else jnp.where(mask, weights, 0)
        read = jnp.einsum("bhij,bjhd->bihd", weights, values).reshape(x.shape)
        x = x + linear(read, layer["attention_out"])
        hidden = jax.nn.relu(linear(norm(x, layer["hidden_norm"]), layer["hidden"]))
        x = x + linear(hidden, layer["hidden_out"])
    return (norm(x, params["norm"]) ** 3).sum()


@pytest.mark.parametrize("name", [formulation.LAX, formulation.CPU])
def test_both_formulations_are_the_same(name):
    """Products of accelerators and sums of CPUs, forward and backward."""

    def loss(params, x, mask):
        found = attention.apply(
            params, x, mask, num_heads=HEADS, key=jax.random.key(5), dropout=0.3
        )
        return (found**3).sum()

    with jax.enable_x64(True):
        params, (x, mask) = random_params(jnp.float64), random_case(jnp.float64)
        with formulation.use(name):
            jaxpr = str(jax.make_jaxpr(loss)(params, x, mask))
            found = jax.jit(jax.value_and_grad(loss))(params, x, mask)
        expected = jax.jit(jax.value_and_grad(loss))(params, x, mask)
        assert ("cond" in jaxpr) == (name == formulation.CPU)
        compare = functools.partial(np.testing.assert_allclose, atol=1e-10)
        jax.tree.map(compare, found, expected)


@pytest.mark.parametrize("uniform", [False, True])
def test_slopes_written_by_hand_are_those_of_plain_blocks(uniform):
    def ours(params, x, mask):
        found = attention.apply(params, x, mask, num_heads=HEADS, uniform=uniform)
        return (found**3).sum()

    with jax.enable_x64(True):
        params, (x, mask) = random_params(jnp.float64), random_case(jnp.float64)
        found = jax.jit(jax.grad(ours, (0, 1)))(params, x, mask)
        plainly = functools.partial(_plain_loss, uniform=uniform)
        expected = jax.jit(jax.grad(plainly, (0, 1)))(params, x, mask)
        compare = functools.partial(np.testing.assert_allclose, atol=1e-10)
        jax.tree.map(compare, found, expected)


def test_slopes_with_dropout_are_those_of_finite_differences():
    key = jax.random.key(5)

    @jax.jit
    def loss(params, x, mask):
        found = attention.apply(params, x, mask, num_heads=HEADS, key=key, dropout=0.3)
        return (found**3).sum()

    with jax.enable_x64(True):
        params, (x, mask) = random_params(jnp.float64), random_case(jnp.float64)
        slopes = jax.jit(jax.grad(loss, (0, 1)))(params, x, mask)
        rng = np.random.default_rng(2)
        for _ in range(4):
            way = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), (params, x))
            moved = [
                jax.tree.map(lambda a, b, s=sign: a + s * 1e-6 * b, (params, x), way)
                for sign in (1, -1)
            ]
            difference = (loss(*moved[0], mask) - loss(*moved[1], mask)) / 2e-6
            terms = jax.tree.map(lambda a, b: (a * b).sum(), slopes, way)
            along = sum(jax.tree.leaves(terms))
            np.testing.assert_allclose(along, difference, rtol=1e-5)


def test_dropout_depends_on_the_key_and_keeps_the_mean():
    params, (x, mask) = random_params(jnp.float32), random_case(jnp.float32)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def dropped(key, rate):
        del rate
        return attention.apply(params, x, mask, num_heads=HEADS, key=key, dropout=0.02)

    found = np.asarray(dropped(jax.random.split(jax.random.key(0), 400), 0.02))
    assert len({leaf.tobytes() for leaf in found}) > 200
    whole = attention.apply(params, x, mask, num_heads=HEADS)
    assert abs(found.mean(0) - np.asarray(whole)).mean() < 0.05


def test_what_is_masked_changes_nothing():
    params, (x, _) = random_params(jnp.float32), random_case(jnp.float32)
    mask = jnp.tril(jnp.ones((NODES, NODES), bool))[None, :, :, None]
    apply = jax.jit(functools.partial(attention.apply, num_heads=HEADS))
    found = apply(params, x, mask)
    other = apply(params, x.at[:3, 2:].add(3.0), mask)
    np.testing.assert_array_equal(found[:, :2], other[:, :2])
    assert not np.allclose(found[:, 2:], other[:, 2:])
