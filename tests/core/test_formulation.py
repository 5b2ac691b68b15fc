"""Choosing a formulation, and storing a value apart from its neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.core import errors, formulation
from nasjax.networks import convolution, depthwise, pooling


def test_the_backend_chooses():
    assert jax.default_backend() == "cpu"
    assert formulation.current() == formulation.CPU


def test_use_is_undone_at_the_end_of_its_block():
    with formulation.use(formulation.LAX):
        assert formulation.current() == formulation.LAX
        with pytest.raises(KeyError), formulation.use(formulation.CPU):
            assert formulation.current() == formulation.CPU
            raise KeyError
        assert formulation.current() == formulation.LAX
    assert formulation.current() == formulation.CPU


def test_an_unknown_formulation_names_the_nearest():
    with pytest.raises(errors.ConfigError, match="did you mean 'lax'"):
        with formulation.use("laxx"):
            pass


def test_compute_apart_changes_no_number():
    x = jnp.linspace(-2.0, 2.0, 12).reshape(3, 4)
    x = x.at[0, 0].set(0.0)

    def plain(a, b):
        return jnp.sin(a) * b

    def apart(a, b):
        return formulation.compute_apart(plain, a, b)

    np.testing.assert_array_equal(apart(x, x + 1), plain(x, x + 1))
    expected = jax.grad(lambda a, b: plain(a, b).sum(), (0, 1))(x, x + 1)
    actual = jax.grad(lambda a, b: apart(a, b).sum(), (0, 1))(x, x + 1)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)
    np.testing.assert_array_equal(jax.vmap(formulation.materialize)(x), x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_diverged_operand_gives_nan_everywhere(bad):
    x = jnp.ones((2, 3)).at[0, 0].set(bad)
    assert np.isnan(formulation.materialize(x)).all()


@pytest.mark.parametrize("name", [formulation.CPU, formulation.LAX])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
def test_layers_keep_the_dtype(name, dtype):
    """Also with 64-bit types on, where a stray numpy constant would widen them."""

    def layers(x, kernel, dense):
        for stride in (1, 2):
            for pool in (pooling.max_pool, pooling.avg_pool):
                yield pool(x, stride=stride)
            yield depthwise.depthwise(x, kernel, stride=stride)
            yield convolution.dense3x3(x[0], dense, stride=stride)

    with jax.enable_x64(True), formulation.use(name):
        for height in (8, 16):
            x = jnp.zeros((1, 2, height, 8, 3), dtype)
            kernel = jnp.zeros((1, 2, 2, 3, 3), dtype)
            dense = jnp.zeros((3, 3, 2, 4), dtype)
            shapes = jax.eval_shape(lambda *a: list(layers(*a)), x, kernel, dense)
            assert {shape.dtype for shape in shapes} == {np.dtype(dtype)}
