"""A supernet of three cells against the original PyTorch one."""

import golden_darts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shared

from nasjax.core import formulation
from nasjax.supernet import cell, network, spec

DARTS = spec.SupernetSpec(
    num_cells=3,
    channels=4,
    num_classes=10,
    image_shape=(32, 32, 3),
    operations=golden_darts.OPERATIONS,
    reductions=(1, 2),
)


def cross_entropy(logits, labels):
    log_probs = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_probs, labels[:, None], axis=1).mean()


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(shared.shared_file("golden", "darts_network.npz")))


@pytest.fixture(scope="module")
def golden_weights(golden):
    return golden_darts.network(golden, DARTS)


def golden_mixing(alphas):
    return golden_darts.mixing(jax.nn.softmax(alphas))


def alphas_of(golden, section="inputs"):
    return np.stack(
        [golden[f"{section}/alphas_{kind}"] for kind in ("normal", "reduce")]
    )


def test_the_golden_weights_fill_the_layout(golden, golden_weights):
    params, statistics = golden_weights
    assert jax.tree.map(np.shape, params) == spec.parameter_shapes(DARTS)
    expected = jax.tree.map(
        lambda shape: {"mean": shape, "var": shape},
        spec.statistics_shapes(DARTS),
        is_leaf=lambda x: isinstance(x, tuple),
    )
    assert jax.tree.map(np.shape, statistics) == expected
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 72_854


@pytest.fixture(scope="module")
def golden_step(golden, golden_weights):
    """One step in training mode; of the gradients only those that the file has."""
    apply_cell = cell.apply

    def loss_of(params, alphas, statistics, images, labels):
        activations = {}

        def recorded(*args, **settings):
            y, new = apply_cell(*args, **settings)
            if not activations:
                _, stem = args[-1]
                activations["stem"] = stem
            activations[f"cell.{len(activations) - 1}"] = y
            return y, new

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(network.cell, "apply", recorded)
            logits, new = network.apply(
                params, statistics, golden_mixing(alphas), images, net=DARTS, train=True
            )
        aux = {
            "logits": logits,
            "activations": activations,
            "stem_statistics": new["stem"]["bn1"],
        }
        return cross_entropy(logits, labels), aux

    def step(*args):
        gradient = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)
        (loss, aux), (params, alphas) = gradient(*args)
        edge = DARTS.edges.index((0, 2))
        separable = params["cells"]["1"]["operations"]["sep_conv_5x5"]
        gradients = {
            "alphas": alphas,
            "stem.conv": params["stem"]["conv1"],
            "classifier": params["classifier"]["kernel"],
            "cell.1.edge.0_2.sep_conv_5x5.depthwise1": separable["depthwise1"][edge],
        }
        return loss, aux, gradients

    params, statistics = golden_weights
    return jax.jit(step)(
        params,
        alphas_of(golden),
        statistics,
        golden["inputs/x"],
        golden["inputs/targets"],
    )


def test_training_pass(golden, golden_step):
    loss, aux, _ = golden_step
    np.testing.assert_allclose(loss, golden["loss/cross_entropy_train"], atol=1e-5)
    np.testing.assert_allclose(
        aux["logits"], golden["outputs/logits_train"], rtol=0, atol=1e-5
    )
    assert sorted(aux["activations"]) == ["cell.0", "cell.1", "cell.2", "stem"]
    for name, y in aux["activations"].items():
        expected = golden[f"outputs/train.{name}"]
        np.testing.assert_allclose(golden_darts.images(y), expected, rtol=0, atol=5e-5)
    for name, value in aux["stem_statistics"].items():
        expected = golden[f"after_train/stem.bn.{name}"]
        np.testing.assert_allclose(value, expected, rtol=0, atol=2e-6)


def test_gradients(golden, golden_step):
    *_, gradients = golden_step
    for name, actual in gradients.items():
        if name == "alphas":
            expected = alphas_of(golden, "grads")
        else:
            expected = golden[f"grads/{name}.kernel"]
            expected = expected if expected.ndim == 2 else golden_darts.kernel(expected)
        np.testing.assert_allclose(
            actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max(), err_msg=name
        )


def test_evaluation_with_the_formulation_of_accelerators(golden, golden_weights):
    params, statistics = golden_weights

    def evaluate(params, alphas, statistics, images):
        return network.apply(
            params, statistics, golden_mixing(alphas), images, net=DARTS, train=False
        )[0]

    with formulation.use(formulation.LAX):
        logits = jax.jit(evaluate)(
            params, alphas_of(golden), statistics, golden["inputs/x"]
        )
    np.testing.assert_allclose(logits, golden["outputs/logits_eval"], rtol=0, atol=1e-5)
