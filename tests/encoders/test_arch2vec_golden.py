"""The released model: weights, inputs and outputs recorded from the original code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shared

from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import decoder, model
from nasjax.encoders.autoencoder.interface import Weights
from nasjax.encoders.graph_inputs import GraphInputs

FILES = {
    "nb101": ("nasbench101", 122_617),
    "nb201": ("nasbench201", 122_907),
    "darts": ("darts_shared", 123_487),
}


class Case:
    """One recorded file and our model with its weights."""

    def __init__(self, name):
        self.space, self.num_parameters = FILES[name]
        self.recorded = np.load(
            shared.shared_file("golden", f"arch2vec_{name}.npz"), allow_pickle=False
        )
        self.model = model.make(self.space, model.variant("released"))
        self.weights = self.read()
        nodes, adjacency = self["inputs/ops"], self["inputs/adjacency"]
        self.inputs = GraphInputs(nodes, adjacency, nodes.max(2))

    def __getitem__(self, key):
        return jnp.asarray(self.recorded[key])

    def read(self):
        """The recorded weights in the places of ours."""

        def linear(name):
            return {part: self[f"weights/{name}.{part}"] for part in ("kernel", "bias")}

        layers, statistics = [], []
        for index in range(4):
            layer = {"eps": self["weights/gin.eps"][index]}
            moments = {}
            for part in ("linear1", "linear2"):
                layer[part] = linear(f"gin.{index}.{part}")
            for part in ("inner", "outer"):
                place = f"weights/gin.{index}.{part}_bn"
                layer[part] = {x: self[f"{place}.{x}"] for x in ("scale", "bias")}
                moments[part] = {x: self[f"{place}.{x}"] for x in ("mean", "var")}
            layers.append(layer)
            statistics.append(moments)
        heads = {"mean": linear("mu"), "log_sigma": linear("log_sigma")}
        return Weights(layers, heads, {"ops": linear("decoder.ops")}, statistics)


@pytest.fixture(scope="module", params=FILES)
def case(request):
    return Case(request.param)


def close(ours, recorded, tolerance):
    np.testing.assert_allclose(np.asarray(ours), recorded, rtol=0, atol=tolerance)


def test_our_graphs_are_the_recorded_inputs(case):
    form = graph_inputs.spec(case.space)
    assert case.inputs.nodes.shape[1:] == (form.num_nodes, form.num_ops)
    if case.space == "nasbench201":
        recorded = case["inputs/op_ids"]
        np.testing.assert_array_equal(case.inputs.nodes.argmax(2), recorded)
        archs = jnp.zeros((16, 6), jnp.int32)
        ours = graph_inputs.read(form, archs)
        np.testing.assert_array_equal(ours.adjacency, case.inputs.adjacency)


def test_the_number_of_parameters(case):
    trained = (case.weights.encoder, case.weights.heads, case.weights.decoder)
    assert sum(leaf.size for leaf in jax.tree.leaves(trained)) == case.num_parameters
    fresh = jax.eval_shape(case.model.init, jax.random.key(0))
    expected = jax.tree.map(jnp.shape, case.weights)
    assert jax.tree.map(lambda leaf: leaf.shape, fresh) == expected


def test_posterior_readout_and_decoder(case):
    posterior, _ = jax.jit(case.model.encode, static_argnums=2)(
        case.weights, case.inputs, False
    )
    close(posterior.mean, case["outputs/mu"], 2e-5)
    close(posterior.log_sigma, case["outputs/log_sigma"], 2e-5)
    embedding = model.embed(case.model, case.weights, case.inputs)
    close(embedding, case["outputs/readout_mean"], 2e-5)
    sources, targets = decoder.pairs(case.model.form.num_nodes)
    for prefix, z in (
        ("", case["outputs/mu"]),
        ("z_free.", case["inputs/z_free"]),
    ):
        logits = case.model.decode(case.weights, z)
        close(jax.nn.sigmoid(logits.ops), case[f"outputs/{prefix}ops_probs"], 2e-5)
        edges = case[f"outputs/{prefix}adj_probs"][:, sources, targets]
        close(jax.nn.sigmoid(logits.edges), edges, 2e-5)


def test_loss_terms_and_slopes(case):
    def loss(parameters):
        weights = Weights(*parameters, case.weights.statistics)
        terms, _ = case.model.loss(jax.random.key(0), weights, case.inputs, False)
        return terms.total, terms

    trained = (case.weights.encoder, case.weights.heads, case.weights.decoder)
    slopes, terms = jax.jit(jax.grad(loss, has_aux=True))(trained)
    close(terms.ops, case["loss/ops_bce"], 1e-5)
    close(terms.edges, case["loss/adj_bce"], 1e-5)
    close(terms.kl, case["loss/kl"], 1e-5)
    close(terms.total, case["loss/total"], 1e-5)
    encoder, heads, decode = slopes
    ours = {
        "gin.eps": jnp.stack([layer["eps"] for layer in encoder]),
        "gin.0.linear1.kernel": encoder[0]["linear1"]["kernel"],
        "gin.3.outer_bn.scale": encoder[3]["outer"]["scale"],
        "mu.kernel": heads["mean"]["kernel"],
        "log_sigma.kernel": heads["log_sigma"]["kernel"],
        "decoder.ops.kernel": decode["ops"]["kernel"],
    }
    recorded = [key for key in case.recorded.files if key.startswith("grads/")]
    assert {f"grads/{key}" for key in ours} == set(recorded)
    for key, slope in ours.items():
        theirs = case[f"grads/{key}"]
        close(slope, theirs, 1e-4 * np.abs(theirs).max())
