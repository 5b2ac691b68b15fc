"""What holds for every space of the registry."""

import jax
import numpy as np
import pytest

from nasjax import spaces
from nasjax.core import errors

BATCH = 64
# Compiling is most of the time here.
QUICK = {"xla_backend_optimization_level": 0}


def everything(space):
    """One function of a key that calls all pure functions of a space."""

    def call(key):
        key_sample, key_mutate = jax.random.split(key)
        arch = space.sample(key_sample)
        child = space.mutate(key_mutate, arch)
        archs, mask = space.neighbors(arch)
        return {
            "arch": arch,
            "child": child,
            "neighbors": archs,
            "mask": mask,
            "valid": space.is_valid(arch),
            "child_valid": space.is_valid(child),
            "neighbors_valid": jax.vmap(space.is_valid)(archs),
            "graph": space.to_graph(arch),
            "fingerprint": space.fingerprint(arch),
        }

    return call


@pytest.fixture(scope="module", params=sorted(spaces.SPACES))
def drawn(request):
    """A space, `BATCH` keys and what its functions give for them, batched."""
    space = spaces.make(request.param)
    keys = jax.random.split(jax.random.key(7), BATCH)
    call = jax.jit(jax.vmap(everything(space)), compiler_options=QUICK)
    found = call(keys)
    return space, keys, jax.tree.map(np.asarray, found)


def test_samples_and_mutants_are_valid(drawn):
    space, _, found = drawn
    for name in ("arch", "child"):
        assert found[name].shape == (BATCH, space.num_genes)
        assert found[name].dtype == np.int32
    assert np.all(found["valid"]) and np.all(found["child_valid"])
    assert np.all(np.any(found["child"] != found["arch"], axis=1))
    assert len(np.unique(found["arch"], axis=0)) > BATCH // 2


def test_neighbors_are_valid_and_others(drawn):
    space, _, found = drawn
    mask = found["mask"]
    assert np.all(np.any(mask, axis=1))
    assert np.all(found["neighbors_valid"][mask])
    other = np.any(found["neighbors"] != found["arch"][:, None], axis=-1)
    assert np.all(other[mask])


def test_genes_stay_in_their_ranges(drawn):
    space, _, found = drawn
    low, high = np.array(space.gene_ranges).T
    assert len(low) == space.num_genes
    for archs in (found["arch"], found["child"], found["neighbors"][found["mask"]]):
        assert np.all(archs >= low) and np.all(archs <= high)


def test_graphs_are_acyclic_and_padded(drawn):
    space, _, found = drawn
    graph = found["graph"]
    assert graph.adjacency.shape == (*graph.ops.shape, graph.ops.shape[-1])
    np.testing.assert_array_equal(np.triu(graph.adjacency, 1), graph.adjacency)
    assert set(np.unique(graph.adjacency).tolist()) <= {0, 1}
    real = np.arange(graph.ops.shape[-1]) < graph.num_nodes[..., None]
    assert np.all((graph.ops >= 0) == real)
    assert graph.ops.max() < len(space.graph_op_names)
    assert not np.any(graph.adjacency[~real]) and graph.ops.dtype == np.int32


def test_a_batch_is_a_loop(drawn):
    space, keys, found = drawn
    one = jax.jit(everything(space), compiler_options=QUICK)
    for i in range(3):
        alone = one(keys[i])
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(found), strict=True):
            np.testing.assert_array_equal(a, b[i])


def test_text_round_trip(drawn):
    space, _, found = drawn
    for arch in [*found["arch"], *found["child"]]:
        parsed = space.parse_arch(space.format_arch(arch))
        assert parsed.dtype == np.int32
        np.testing.assert_array_equal(parsed, arch)


def test_host_arrays_are_taken_too(drawn):
    space, keys, found = drawn
    arch = found["arch"][0]

    def call(key):
        given = (space.neighbors, space.is_valid, space.to_graph, space.fingerprint)
        return space.mutate(key, arch), [function(arch) for function in given]

    child, (_, valid, *_) = jax.eval_shape(call, keys[0])
    assert child.shape == arch.shape and child.dtype == np.int32
    assert valid.shape == () and valid.dtype == bool


def test_fingerprints_are_two_words(drawn):
    space, _, found = drawn
    assert found["fingerprint"].shape == (BATCH, 2)
    assert found["fingerprint"].dtype == np.uint32
    _, first = np.unique(found["arch"], axis=0, return_index=True)
    assert len(np.unique(found["fingerprint"], axis=0)) > len(first) // 2


def test_names_and_sizes(drawn):
    space, _, _ = drawn
    assert space is spaces.make(space.name)
    sizes = {
        "nasbench101": 423_624,
        "nasbench201": 15_625,
        # Operations of eight edges times pairs of inputs of four steps.
        "darts_shared": 7**8 * (1 * 3 * 6 * 10),
        "darts": (7**8 * (1 * 3 * 6 * 10)) ** 2,
        "nasbench_nlp": None,
    }
    assert space.size == sizes[space.name]


def test_unknown_names_and_options_are_refused():
    with pytest.raises(errors.ConfigError, match="did you mean 'nasbench101'"):
        spaces.make("nasbench1o1")
    with pytest.raises(errors.ConfigError, match="did you mean 'shared'"):
        spaces.make("darts", sharde=True)
    with pytest.raises(errors.ConfigError, match="option of the space 'nasbench201'"):
        spaces.make("nasbench201", none=True)


def test_options_reach_the_factory():
    space = spaces.make("darts", none=True)
    assert space.op_names[-1] == "none" and space.gene_ranges[0] == (0, 7)
    assert spaces.make("darts_shared", none=True).num_genes == 16


STORED_FINGERPRINTS = {
    "nasbench101": (
        "input,maxpool3x3,conv3x3-bn-relu,maxpool3x3,conv3x3-bn-relu,conv3x3-bn-relu,"
        "output|0110010/0001101/0000111/0000111/0000010/0000000/0000000",
        [3312583006, 3333032688],
    ),
    "nasbench201": (
        "|avg_pool_3x3~0|+|none~0|nor_conv_1x1~1|+"
        "|nor_conv_3x3~0|skip_connect~1|nor_conv_1x1~2|",
        [1407490520, 1290815202],
    ),
    "nasbench_nlp": (
        '{"node_0": {"op": "linear", "input": ["h_prev_0", "x"]}, '
        '"h_new_0": {"op": "activation_leaky_relu", "input": ["node_0"]}}',
        [643901012, 2562273484],
    ),
}


@pytest.mark.parametrize("name", STORED_FINGERPRINTS)
def test_stored_fingerprints_stay_valid(name):
    """A file keeps fingerprints: if this fails, raise `fingerprints.VERSION`."""
    text, expected = STORED_FINGERPRINTS[name]
    space = spaces.make(name)
    assert jax.jit(space.fingerprint)(space.parse_arch(text)).tolist() == expected
