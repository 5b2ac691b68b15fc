"""What is wrong with a setting is said by its name, when the algorithm is made."""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import search_table

from nasjax import search
from nasjax.core import errors
from nasjax.encoders.arch2vec import supervised
from nasjax.search.embedding_table import EmbeddingTable
from nasjax.spaces import nasbench201

SPACE = nasbench201.make()
ARCHS = nasbench201.enumerate_cells()[:40]


def needed(name):
    """What a factory cannot do without."""
    parameters = inspect.signature(search.ALGORITHMS[name]).parameters
    table = EmbeddingTable(jnp.asarray(ARCHS), jnp.asarray(ARCHS, jnp.float32))
    given = {"table": table, "features": lambda arch: arch.astype(jnp.float32)}
    if "network" in parameters:
        given |= {"network": supervised.network("nasbench201"), "candidates": ARCHS}
    if "features" in parameters:
        del given["table"]
    given["max_epochs"] = 27
    return {key: value for key, value in given.items() if key in parameters}


def sizes():
    """(algorithm, setting) of every setting that is a whole number by default."""
    for name, factory in search.ALGORITHMS.items():
        for key, parameter in inspect.signature(factory).parameters.items():
            if type(parameter.default) is int:
                yield name, key


@pytest.mark.parametrize(("name", "key"), [*sizes()])
def test_a_size_of_minus_one_is_named_and_nothing_that_is_no_setting(name, key):
    with pytest.raises(errors.ConfigError) as error:
        search.make(name, SPACE, **needed(name), **{key: -1})
    message = str(error.value)
    assert key in message and "-1" in message and "\n" not in message
    known = inspect.signature(search.ALGORITHMS[name]).parameters
    for word in re.findall(r"(\w+) = ", message):
        assert word in known, f"{word} is no setting of {name}"


BAD = {
    "path_one_hot": "not str",
    "two": (lambda arch: jnp.stack([arch, arch]), "shape \\(2, 6\\)"),
    "number": (lambda arch: arch.sum(), "shape \\(\\)"),
    "fails": (lambda arch: arch[9], "cannot encode an architecture of nasbench201"),
}


@pytest.mark.parametrize("kind", BAD)
def test_features_are_tried_when_the_algorithm_is_made(kind):
    features, message = (kind, BAD[kind]) if isinstance(BAD[kind], str) else BAD[kind]
    if kind == "fails":
        features = lambda arch: jnp.ones((3, 2)) @ arch  # noqa: E731
    for name in ("bananas", "bo_gp"):
        with pytest.raises(errors.ConfigError, match=message):
            search.make(name, SPACE, features=features)


def test_a_run_of_no_steps_is_refused():
    algorithm = search.make("random_search", SPACE)
    for steps in (0, -1):
        with pytest.raises(errors.ConfigError, match=f"num_steps = {steps}"):
            search.run(jax.random.key(0), algorithm, search_table.evaluate(), steps)


def test_an_epoch_between_epochs_is_refused():
    table = search_table.make()
    arch = np.asarray(ARCHS[7], np.int32)
    with pytest.raises(errors.NasjaxError, match="4.5"):
        table.mean(arch, 4.5)
