"""Files that the first plan of the house wrote load, and mean the same.

`older_files/` holds one of each kind, written by version 0.1.0 at commit 916b666, with
what they answered then in `expected.json`.
"""

import functools
import json
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import nasbench, spaces
from nasjax.jobs.search import chunks
from nasjax.supernet import network, saved_model, slim, slim_network

FOLDER = pathlib.Path(__file__).parent / "older_files"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
SURROGATES = [name for name in EXPECTED if name.startswith("surrogate_")]


@pytest.mark.parametrize("name", SURROGATES)
def test_surrogates(name):
    surrogate = nasbench.load(FOLDER / f"{name}.safetensors")
    arch, expected = jnp.array(EXPECTED["archs"]), EXPECTED[name]
    np.testing.assert_allclose(surrogate.mean_curve(arch), expected["mean"], rtol=2e-6)
    model = surrogate.require()
    noisy = model.sample(jax.random.key(1), surrogate.features_of(arch))
    np.testing.assert_allclose(noisy, expected["noisy"], rtol=2e-6)


def test_tables():
    table = nasbench.load(FOLDER / "table.safetensors", data_set="cifar10")
    values = jax.vmap(lambda arch: table.mean(arch, 200).valid)(table.archs)
    expected = np.mean(EXPECTED["table"], axis=1)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_networks():
    images = jnp.array(EXPECTED["images"], jnp.float32)
    saved = saved_model.load(FOLDER / "supernet.safetensors")
    apply = functools.partial(network.apply, net=saved.net, train=False)
    logits, _ = jax.jit(apply)(saved.params, saved.statistics, saved.mixing, images)
    np.testing.assert_allclose(logits, EXPECTED["logits"], atol=2e-5)
    small = slim.load(FOLDER / "slim.safetensors")
    apply = functools.partial(slim_network.apply, description=small.description)
    found = jax.jit(apply)(small.params, images)
    np.testing.assert_allclose(found, EXPECTED["logits"], atol=2e-5)


def test_trials():
    made = types.SimpleNamespace(space=spaces.make("nasbench201"))
    found = chunks._load(FOLDER / "trials.safetensors", made, 3)
    np.testing.assert_array_equal(found.history.archs, EXPECTED["trials"]["archs"])
    np.testing.assert_allclose(found.history.valid, EXPECTED["trials"]["valid"])
    assert found.cpu_seconds == 1.5 and (found.history.trained == 0).all()
