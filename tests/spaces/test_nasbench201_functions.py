import jax
import jax.numpy as jnp
import numpy as np

from nasjax.networks import nasbench201 as networks
from nasjax.spaces import nasbench201
from nasjax.spaces import nasbench201_functions as module


def test_there_are_4930_functions_within_the_published_classes():
    functions = module.functions()
    assert functions.representatives.shape == (module.NUM_FUNCTIONS, 6)
    assert set(functions.of_code) == set(range(module.NUM_FUNCTIONS))
    cells = np.array(
        np.unravel_index(np.arange(nasbench201.SIZE), (nasbench201.NUM_OPS,) * 6)
    ).T
    # Cells of one published class compute one function.
    classes = nasbench201._classes()
    for number in np.unique(classes)[::97]:
        assert len(set(functions.of_code[classes == number])) == 1
    # Representatives stand for themselves, and cost no more than their cells.
    codes = np.asarray(jax.vmap(nasbench201.code)(functions.representatives))
    np.testing.assert_array_equal(functions.of_code[codes], np.arange(len(codes)))
    convolutions = (cells == nasbench201.CONV_3X3).sum(axis=1)
    own = (functions.representatives == nasbench201.CONV_3X3).sum(axis=1)
    assert (own[functions.of_code] <= convolutions).all()


def test_dead_edges_are_none():
    # Edge 0>1 leads nowhere when 1>2 and 1>3 are none.
    assert module.without_dead_edges((3, 1, 0, 2, 0, 4)) == (0, 1, 0, 2, 0, 4)
    # Node 1 gets nothing, so what leaves it is nothing.
    assert module.without_dead_edges((0, 1, 3, 2, 3, 4)) == (0, 1, 0, 2, 0, 4)
    assert module.without_dead_edges((3, 0, 0, 0, 0, 0)) == (0, 0, 0, 0, 0, 0)


def test_descriptions_by_hand():
    # A skip of a sum is the sum; order does not count.
    assert module.describe((2, 0, 1, 3, 0, 1)) == module.describe((2, 0, 0, 3, 1, 0))
    assert module.describe((1, 2, 0, 0, 2, 0)) != module.describe((2, 2, 0, 0, 2, 0))
    assert module.describe((0, 0, 0, 0, 0, 0)) == ()


def test_cells_of_one_function_compute_the_same_numbers():
    """With one kernel everywhere, so that it does not matter which edge holds it."""
    functions = module.functions()
    skeleton = networks.Skeleton(
        channels=2, num_stages=1, num_cells=1, image_shape=(4, 4, 1), patch=1,
        affine=False,
    )  # fmt: skip
    net = networks.network(skeleton)
    params, statistics = net.init(jax.random.key(0), jnp.zeros(6, jnp.int32))
    kernel = params["cells0"]["kernel"]
    params["cells0"]["kernel"] = jnp.broadcast_to(kernel[:, :1], kernel.shape)
    images = jax.random.normal(jax.random.key(1), (4, 4, 1, 3))
    logits = jax.jit(
        lambda arch: net.apply(params, statistics, arch, images, train=False)[0]
    )
    random = np.random.default_rng(0)
    for cell in random.integers(0, nasbench201.NUM_OPS, (12, 6)):
        function = functions.of_code[int(nasbench201.code(jnp.asarray(cell)))]
        same = functions.representatives[function]
        np.testing.assert_allclose(
            logits(jnp.asarray(cell, jnp.int32)), logits(jnp.asarray(same)), atol=2e-5
        )
