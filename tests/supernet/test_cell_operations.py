"""Every candidate operation against the original PyTorch modules."""

import golden_darts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shared

from nasjax.networks import batch_norm, pooling
from nasjax.networks import operations as ops
from nasjax.supernet import cell

FORMS = ("search", "discrete")
"""Without trained scale and bias; with them, and then with bare pools."""

CHAINS = ("relu_conv_bn", "relu_conv_bn_8")
CASES = [
    (form, name, stride)
    for form in FORMS
    for name in golden_darts.OPERATIONS + CHAINS
    for stride in (1, 2)
    if (form, name) != ("discrete", "relu_conv_bn_8")
]


def is_normalized(form, name, stride):
    if name in ops.POOLS:
        return form == "search"
    if name == ops.SKIP:
        return stride == 2
    return name != ops.NONE


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(shared.shared_file("golden", "darts_ops.npz")))


@pytest.fixture(scope="module")
def results(golden):
    """(form, name, stride, mode) -> (output `[C, H, W, N]`, new statistics)."""
    x = golden_darts.feature_map(golden["inputs/x"])
    found = {}
    for form in FORMS:
        names = [name for f, name, stride in CASES if (f, stride) == (form, 1)]
        weights = {
            f"{name}/{stride}": golden_darts.unit(
                golden, f"{form}.{name}.s{stride}", operation=name
            )
            for name in names
            for stride in (1, 2)
        }
        for key, value in jax.jit(run, static_argnums=2)(weights, x, form).items():
            name, stride, mode = key.split("/")
            found[form, name, int(stride), mode] = value
    return found


def run(weights, x, form):
    results = {}
    for key, (params, statistics) in weights.items():
        name, stride = key.split("/")
        for mode in ("eval", "train"):
            function = chain if name in CHAINS else operation
            if form == "discrete" and name in ops.POOLS:
                function = bare_pool
            results[f"{key}/{mode}"] = function(
                params, statistics, x, name, int(stride), mode == "train"
            )
    return results


def operation(params, statistics, x, name, stride, train):
    """One source and one edge of what a cell computes group by group."""
    params, statistics = jax.tree.map(lambda v: v[None, None], (params, statistics))
    terms, new = cell._operations(
        {name: params},
        {name: statistics},
        x[None],
        names=(name,),
        stride=stride,
        train=train,
    )
    if not terms:
        return jnp.zeros_like(x[:, ::stride, ::stride]), {}
    term = terms[name]
    scale, shift = map(batch_norm.per_channel, (term.scale, term.shift))
    y = scale * term.feature + shift
    new = new.get(name, {})
    if train:
        new = cell._update(statistics if new else {}, new, y[0, 0, 0].size)
    return jax.tree.map(lambda v: v[0, 0], (y, new))


def chain(params, statistics, x, name, stride, train):
    pixels = x[:, ::stride, ::stride]  # all that a strided 1x1 convolution reads
    return cell._preprocess(params, statistics, pixels, train)


def bare_pool(params, statistics, x, name, stride, train):
    pool = pooling.max_pool if name == ops.MAX_POOL else pooling.avg_pool
    return pool(x, stride=stride), {}


@pytest.mark.parametrize(("mode", "tolerance"), [("eval", 1e-5), ("train", 2e-5)])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs(golden, results, case, mode, tolerance):
    form, name, stride = case
    y, _ = results[*case, mode]
    expected = golden[f"outputs/{form}.{name}.s{stride}.{mode}"]
    np.testing.assert_allclose(golden_darts.images(y), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("case", [c for c in CASES if is_normalized(*c)], ids=str)
def test_running_statistics(golden, results, case):
    form, name, stride = case
    before, after = (
        golden_darts.unit(
            golden, f"{form}.{name}.s{stride}", section=section, operation=name
        )[1]
        for section in ("weights", "after_train")
    )
    jax.tree.map(np.testing.assert_array_equal, results[*case, "eval"][1], before)
    jax.tree.map(
        lambda actual, expected: np.testing.assert_allclose(
            actual, expected, rtol=0, atol=2e-6
        ),
        results[*case, "train"][1],
        after,
    )
