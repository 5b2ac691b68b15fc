"""The released model: weights, inputs and outputs recorded from the original code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shared

from nasjax.core import attention
from nasjax.encoders.cate import masks, model, objective, settings
from nasjax.encoders.cate.model import Inputs
from nasjax.encoders.cate.objective import Labels

SIZES = {
    "": {"num_layers": 2, "num_cross_layers": 2, "hidden": 64, "cross_hidden": 64},
    "_l3_lc4": {"num_layers": 3, "num_cross_layers": 4},
}
CASES = [
    (f"cate_{space}{size}", size) for space in ("nb101", "darts") for size in SIZES
]


class Case:
    """One recorded file and our model with its weights."""

    def __init__(self, name, size):
        path = shared.shared_file("golden", f"{name}.npz")
        self.recorded = np.load(path, allow_pickle=False)
        space = "nasbench101" if "nb101" in name else "darts_shared"
        self.model = model.make(space, settings.variant("released", **SIZES[size]))
        self.weights = self.read()
        self.clean = self.inputs("tokens")
        self.corrupted = self.inputs("corrupted")

    def __getitem__(self, key):
        return jnp.asarray(self.recorded[key])

    def both(self, name):
        return jnp.concatenate([self[f"inputs/{name}_{side}"] for side in "xy"])

    def inputs(self, tokens):
        """Of 16 graphs; what is padding is told by the mask of the joint encoder."""
        visible = self["inputs/cross_mask"].max(2) > 0
        real = jnp.concatenate(jnp.split(visible, 2, axis=1))
        adjacency = self.both("adjacency").astype(jnp.int32)
        relations = masks.relations(self.model.settings, adjacency)
        return Inputs(self.both(tokens).T, relations, real.T)

    def read(self):
        """The recorded weights in the places of ours."""

        def linear(name):
            return {part: self[f"weights/{name}.{part}"] for part in ("kernel", "bias")}

        def norm(name):
            return {part: self[f"weights/{name}.{part}"] for part in ("scale", "bias")}

        def stack(name, count):
            layers = []
            for n in range(count):
                parts = [
                    linear(f"{name}.{n}.attn.{x}") for x in ("query", "key", "value")
                ]
                layers.append(
                    {
                        "attention_norm": norm(f"{name}.{n}.attn_norm"),
                        "qkv": jax.tree.map(
                            lambda *leaves: jnp.concatenate(leaves, axis=-1), *parts
                        ),
                        "attention_out": linear(f"{name}.{n}.attn.out"),
                        "hidden_norm": norm(f"{name}.{n}.ff_norm"),
                        "hidden": linear(f"{name}.{n}.ff.in"),
                        "hidden_out": linear(f"{name}.{n}.ff.out"),
                    }
                )
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)
            return {"layers": stacked, "norm": norm(f"{name}.{count - 1}.output_norm")}

        return {
            "ops": self["weights/embedding.op"],
            "segments": self["weights/embedding.segment"],
            "encoder": stack("encoder", self.model.settings.num_layers),
            "cross": stack("cross", self.model.settings.num_cross_layers),
            "head": {name: linear(f"head.{name}") for name in ("hidden", "logits")},
        }


@pytest.fixture(scope="module", params=CASES, ids=[name for name, _ in CASES])
def case(request):
    return Case(*request.param)


def close(ours, recorded, tolerance):
    np.testing.assert_allclose(np.asarray(ours), recorded, rtol=0, atol=tolerance)


def test_our_parameters_are_the_recorded_ones(case):
    fresh = jax.eval_shape(case.model.init, jax.random.key(0))
    shapes = jax.tree.map(lambda leaf: leaf.shape, fresh)
    assert shapes == jax.tree.map(jnp.shape, case.weights)


def test_masks_are_the_recorded_closures(case):
    found = np.moveaxis(np.asarray(case.clean.relations[0][0]), -1, 0)
    np.testing.assert_array_equal(found, case.both("closure"))


def test_states_and_encodings(case):
    for inputs, prefix in ((case.clean, "clean"), (case.corrupted, "pair")):
        states = jax.jit(case.model.encode)(case.weights, inputs)
        recorded = [case[f"outputs/{prefix}.hidden_{side}"] for side in "xy"]
        close(jnp.moveaxis(states, 2, 0).swapaxes(1, 2), np.concatenate(recorded), 2e-5)
    found = model.embed(case.model, case.weights, case.clean)
    recorded = [case[f"outputs/clean.encoding_{side}"] for side in "xy"]
    close(found, np.concatenate(recorded), 2e-5)


def test_attention_weights_of_the_first_layer(case):
    tokens = case["inputs/tokens_x"]
    x = case.weights["ops"][tokens] * 8.0
    mask = case.clean.relations[0][..., : len(tokens)]
    x = jnp.moveaxis(x, -1, 0).swapaxes(1, 2)
    found = attention.weights(case.weights["encoder"], x, mask, num_heads=8)
    close(jnp.moveaxis(found, -1, 0), case["outputs/clean.attention_x.0"], 2e-5)


def test_logits_loss_and_slopes(case):
    labels = Labels(case["inputs/labels"].T, case["inputs/labels"].T > 0)

    def loss(weights):
        logits = case.model.logits(weights, case.corrupted)
        terms = objective.terms(case.model, logits, labels)
        return terms.loss / terms.labels, (logits, terms)

    slopes, (logits, terms) = jax.jit(jax.grad(loss, has_aux=True))(case.weights)
    order = (2, 1, 0)
    close(logits.transpose(order), case["outputs/pair.logits"], 2e-5)
    log_probs = jax.nn.log_softmax(logits, axis=0)
    close(log_probs.transpose(order), case["outputs/pair.log_probs"], 2e-5)
    assert terms.labels == case["loss/n_labels"]
    close(terms.loss, case["loss/sum"], 2e-4)
    close(terms.loss / terms.labels, case["loss/mean"], 1e-5)
    query, _, _ = jnp.split(slopes["encoder"]["layers"]["qkv"]["kernel"][0], 3, axis=1)
    _, _, value = jnp.split(slopes["cross"]["layers"]["qkv"]["kernel"][0], 3, axis=1)
    ours = {
        "embedding.op": slopes["ops"],
        "encoder.0.attn.query.kernel": query,
        "encoder.0.ff.in.kernel": slopes["encoder"]["layers"]["hidden"]["kernel"][0],
        "cross.0.attn.value.kernel": value,
        "head.logits.kernel": slopes["head"]["logits"]["kernel"],
    }
    recorded = [key for key in case.recorded.files if key.startswith("grads/")]
    assert {f"grads/{key}" for key in ours} == set(recorded)
    for key, slope in ours.items():
        theirs = case[f"grads/{key}"]
        close(slope, theirs, 1e-4 * np.abs(theirs).max())
