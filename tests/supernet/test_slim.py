"""A slim network computes what the masked supernet does, without its dead parts.

References in float64 are `network.apply` of the masked supernet in evaluation, compiled
once a supernet; BN statistics are random, so nothing relies on means of zero.
"""

import json

import jax
import numpy as np
import pytest
from reference import supernet_small as small

from nasjax.core import arrays, errors, formulation
from nasjax.supernet import counting, masking, mixing, network, objective, slim

pytestmark = pytest.mark.xdist_group("slim")

CIFAR = small.network(reductions=(0,))
TINY = small.network(
    num_cells=1, num_steps=1, reductions=(), operations=("sep_conv_3x3",)
)
IMAGENET = small.network(
    num_classes=4,
    image_shape=(16, 16, 3),
    operations=("sep_conv_5x5", "dil_conv_3x3", "avg_pool_3x3", "skip_connect", "none"),
    reductions=(0,),
    stem="imagenet8",
    arch_sharing="cell",
    affine=True,
)
dense_apply = jax.jit(network.apply, static_argnames=("net", "train"))
slim_apply = jax.jit(slim.apply, static_argnames="description")


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


class Case:
    """A supernet with random variables whose masks are still to be chosen."""

    def __init__(self, net, seed=0, dtype=np.float64, **keep):
        rng = np.random.default_rng(seed)
        self.net = net
        self.params = small.random_params(rng, net, dtype)
        self.statistics = small.random_statistics(rng, net, dtype)
        self.arch = small.random_arch(rng, net, dtype)
        self.masks = small.random_masks(rng, net, dtype=dtype, **keep)
        self.images, self.labels = small.random_images(rng, net, 3, dtype)

    @property
    def mixing(self):
        levels = {"alpha": self.masks.alpha, "beta": self.masks.beta}
        return mixing.coefficients(self.arch, self.net, levels)

    @property
    def masked(self):
        return masking.masked_params(self.params, self.masks.weights)

    def slimmed(self):
        return slim.slim(
            self.params, self.statistics, self.mixing, self.masks, net=self.net
        )

    def expected(self):
        logits, _ = dense_apply(
            self.masked,
            self.statistics,
            self.mixing,
            self.images,
            net=self.net,
            train=False,
        )
        return np.asarray(logits)

    def check(self, rtol=1e-12):
        """Equality of the logits; returns the slim network."""
        small_net = self.slimmed()
        logits = slim_apply(
            small_net.params, self.images, description=small_net.description
        )
        expected = self.expected()
        assert logits.dtype == expected.dtype
        tolerance = rtol * np.abs(expected).max()
        np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerance)
        check_nothing_dead(small_net)
        return small_net


WHOLE = {"operations": 1.1, "edges": 1.1, "weights": 1.1}


def check_nothing_dead(network):
    """Every kernel row is read by something, as the description says."""
    for path, x in jax.tree_util.tree_flatten_with_path(network.params)[0]:
        name = path[-1].key
        if name.startswith("depthwise"):
            assert np.any(x, (1, 2)).all()
        if name.startswith("pointwise") or name == "kernel" and path[0].key != "stem":
            assert np.any(x, 1).all()
    for k, cell in enumerate(network.description.cells):
        if cell is None:
            assert str(k) not in network.params.get("cells", {})
            continue
        layers = network.params["cells"][str(k)]
        named = {(f"{o.source}>{o.target}", o.name) for o in cell.operations}
        stored = {
            (edge, name) for edge, ops in layers["operations"].items() for name in ops
        }
        assert named == stored
        assert {str(node) for node in cell.nodes} == set(layers["nodes"])
        for i, channels in enumerate(cell.inputs):
            assert bool(channels) == (f"preprocess{i}" in layers)


def test_nothing_masked_keeps_every_kernel():
    case = Case(CIFAR, **WHOLE)
    network = case.check()
    kernels = sum(x.size for x in masking.maskable(case.params).values())
    assert slim.count(network) == kernels + CIFAR.num_classes
    c, stem = CIFAR.cells[0].channels, 3 * CIFAR.channels
    # One bias a preprocessing, node and inner stage; one scale a pool and identity,
    # but for the four strided identities of cell 0, which have kernels.
    vectors = 2 * 2 * c + 2 * 2 * c + 2 * 5 * (1 + 2) * c + stem + (1 + 5)
    stored = sum(x.size for x in jax.tree.leaves(network.params))
    assert stored == kernels + CIFAR.num_classes + vectors


@pytest.mark.parametrize("seed", [1, 2])
def test_random_masks(seed):
    case = Case(CIFAR, seed, operations=0.6, edges=0.8, weights=0.25)
    network = case.check()
    assert 4 < slim.count(network) < counting.structural(CIFAR, case.masks).params


def test_a_stem_of_two_outputs_keeps_what_either_reader_reads():
    case = Case(IMAGENET, seed=1, operations=0.7, weights=0.8)
    conv3 = case.masks.weights["stem/conv3"]
    preprocess = [
        case.masks.weights[f"cells/0/preprocess0/{name}"] for name in ("conv1", "conv2")
    ]
    conv3[:, :, 0], conv3[:, :, 1:] = 1, 0
    for kernel in preprocess:
        kernel[:3], kernel[3] = 0, 1
    network = case.check()
    stem = network.params["stem"]
    # Of the four maps of convolution 2 one is read by cell 0, one by convolution 3.
    assert stem["conv2"]["kernel"].shape[3] == stem["conv3"]["kernel"].shape[2] == 2
    assert network.description.cells[0].inputs[0] == (1,)
    assert 5 < slim.count(network) < counting.structural(IMAGENET, case.masks).params


def kill_node(case, target):
    into = [e for e, (_, t) in enumerate(case.net.edges) if t == target]
    case.masks.beta[:, into] = 0


def test_a_dead_node_still_shifts_what_reads_it():
    """An operation on an empty map adds BN shifts, which vary at the borders."""
    case = Case(CIFAR, seed=3, operations=1.1, edges=1.1, weights=0.9)
    kill_node(case, 2)
    network = case.check()
    for cell, layers in zip(
        network.description.cells, network.params["cells"].values(), strict=True
    ):
        assert cell.nodes == (3,)
        assert {o.source for o in cell.operations} == {0, 1}
        # sep_conv_3x3 on 2>3 sees BN's shift inside and zero padding outside
        bias = np.asarray(layers["nodes"]["3"])
        assert bias.ndim == 3 and (bias != bias[:, :1, :1]).any()
    case.statistics = jax.tree.map(np.zeros_like, case.statistics)
    without_means = case.check()
    for layers in without_means.params["cells"].values():
        assert layers["nodes"]["3"].ndim == 1  # no shift, no map
    assert slim.count(without_means) == slim.count(network)


def test_a_constant_cell_is_gone():
    """Cell 1 keeps 2>3 alone, a constant map that cell 2 reads and convolves."""
    net = small.network(num_cells=3, arch_sharing="cell", operations=("sep_conv_3x3",))
    assert net.edges[-1] == (2, 3)
    case = Case(net, seed=4, **WHOLE)
    case.masks.beta[1, :-1] = 0
    network = case.check()
    first, second, third = network.description.cells
    assert first.nodes == (2, 3) and second is None
    assert len(third.inputs[0]) == 8 and third.inputs[1] == ()
    assert {(o.source, o.target) for o in third.operations} == {(0, 2), (0, 3), (2, 3)}
    biases = network.params["cells"]["2"]["nodes"]
    assert {bias.ndim for bias in biases.values()} == {3}


def test_everything_dead_leaves_a_bias():
    case = Case(CIFAR, seed=5, operations=0, weights=1.1)
    network = case.check()
    assert network.description.cells == (None, None)
    assert list(network.params) == ["classifier"]
    assert slim.count(network) == CIFAR.num_classes


def test_channels_are_cut_inside_an_operation():
    """One edge, one separable convolution: which masked weight frees which channel."""
    case = Case(TINY, seed=6, **WHOLE)
    case.masks.beta[:, 1] = 0  # 0>2 stays
    kernels = {
        name: case.masks.weights[f"cells/0/operations/sep_conv_3x3/{name}"]
        for name in ("depthwise1", "pointwise1", "depthwise2", "pointwise2")
    }
    kernels["depthwise1"][0, 0] = 0  # input 0 is convolved with zeros
    kernels["pointwise1"][0, 1] = 0  # input 1 is read by nothing
    kernels["depthwise2"][0, 2] = 0  # inner channel 2 is convolved with zeros
    kernels["pointwise2"][0, 3] = 0  # inner channel 3 is read by nothing
    case.masks.weights["classifier/kernel"][0] = 0  # output 0 is read by nothing
    network = case.check()
    layers = network.params["cells"]["0"]
    edge = layers["operations"]["0>2"]["sep_conv_3x3"]
    assert {name: x.shape for name, x in edge.items()} == {
        "depthwise1": (2, 3, 3),
        "pointwise1": (2, 2),
        "bias1": (2,),
        "depthwise2": (2, 3, 3),
        "pointwise2": (2, 3),
    }
    assert layers["preprocess0"]["kernel"].shape == (12, 2)
    assert "preprocess1" not in layers
    assert network.params["classifier"]["kernel"].shape == (3, 3)
    (operation,) = network.description.cells[0].operations
    assert operation.channels == (0, 1)  # of the two that are left of the input


def test_float32_and_xla_convolutions():
    with jax.enable_x64(False), formulation.use(formulation.LAX):
        net = small.network(
            num_cells=1,
            reductions=(0,),
            operations=("sep_conv_3x3", "max_pool_3x3", "skip_connect"),
        )
        case = Case(net, seed=7, dtype=np.float32, weights=0.5)
        network = case.check(rtol=1e-5)
        assert len(network.description.cells[0].operations) > 3
    assert {x.dtype for x in jax.tree.leaves(network.params)} == {np.dtype("float32")}


def test_weights_may_be_masked_before():
    case = Case(CIFAR, seed=1, operations=0.6, edges=0.8, weights=0.25)
    network = case.slimmed()
    case.params = case.masked
    again = case.slimmed()
    assert again.description == network.description
    jax.tree.map(np.testing.assert_array_equal, again.params, network.params)


@pytest.fixture
def saved(tmp_path):
    case = Case(TINY, seed=1, operations=1.1, edges=1.1, weights=0.5)
    network, path = case.slimmed(), tmp_path / "slim.safetensors"
    slim.save(path, network)
    return case, network, path


def test_a_saved_network_computes_the_same_bits(saved):
    case, network, path = saved
    loaded = slim.load(path)
    assert loaded.description == network.description
    assert hash(loaded.description) == hash(network.description)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, network.params)
    weights = np.array([1.0, 1.0, 0.0])
    batch = (case.images, case.labels, weights)
    loss, correct = slim.evaluate(loaded.params, *batch, description=loaded.description)
    logits = slim_apply(network.params, case.images, description=network.description)
    losses = objective.cross_entropy(logits, case.labels)
    assert float(loss) == pytest.approx(float(losses[:2].sum()), rel=1e-12)
    assert float(correct) == (logits.argmax(-1) == case.labels)[:2].sum()


def test_a_network_without_cells_is_saved(tmp_path):
    case = Case(TINY, seed=5, operations=0, weights=1.1)
    slim.save(tmp_path / "slim.safetensors", case.slimmed())
    loaded = slim.load(tmp_path / "slim.safetensors")
    logits = slim.apply(loaded.params, case.images, description=loaded.description)
    assert logits.shape == (3, 3)
    np.testing.assert_allclose(logits, case.expected(), rtol=1e-12)


def test_other_files_are_refused(saved, tmp_path):
    _, network, path = saved
    with pytest.raises(errors.DataError, match="no such file"):
        slim.load(tmp_path / "absent.safetensors")
    other = tmp_path / "other.safetensors"
    arrays.save(other, network.params, metadata={"format": "something"})
    with pytest.raises(errors.DataError, match="other.safetensors: not a slim network"):
        slim.load(other)
    metadata = json.loads(json.dumps(arrays.load_metadata(path)))
    del metadata["description"]["cells"][0]["inputs"]
    arrays.save(other, network.params, metadata=metadata)
    with pytest.raises(errors.DataError, match="description is malformed.*inputs"):
        slim.load(other)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(errors.DataError, match="truncated"):
        slim.load(path)
