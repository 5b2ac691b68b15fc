"""Every point of the unit cube is an architecture, and every architecture a point."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import spaces
from nasjax.spaces import darts, nasbench101, nasbench201
from nasjax.spaces import nasbench_nlp as nlp

BATCH = 512
BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))
QUICK = {"xla_backend_optimization_level": 0}


def points(space, bins, place):
    """Points `[B, D]` at `place` in [0, 1) of their bins."""
    sizes = np.array(space.unit_sizes)
    point = (np.asarray(bins) + place) / sizes
    return np.minimum(point, BELOW_ONE).astype(np.float32)


def draw_bins(space, seed, count=BATCH):
    rng = np.random.default_rng(seed)
    return rng.integers(0, space.unit_sizes, (count, len(space.unit_sizes)))


@pytest.fixture(scope="module", params=sorted(spaces.SPACES))
def made(request):
    space = spaces.make(request.param)

    def call(units):
        archs = jax.vmap(space.decode)(units)
        return archs, jax.vmap(space.is_valid)(archs)

    return space, jax.jit(call, compiler_options=QUICK)


def test_every_point_is_a_valid_architecture(made):
    space, decode = made
    size = len(space.unit_sizes)
    rng = np.random.default_rng(0)
    units = rng.random((BATCH, size), np.float32)
    corners = rng.integers(0, 2, (BATCH, size)) * BELOW_ONE
    ends = np.stack([np.zeros(size), np.full(size, BELOW_ONE), np.ones(size)])
    units = np.concatenate([ends, units, corners])[: 2 * BATCH].astype(np.float32)
    archs, valid = decode(units)
    assert archs.shape == (2 * BATCH, space.num_genes) and archs.dtype == np.int32
    assert np.asarray(valid).all()
    low, high = np.array(space.gene_ranges).T
    archs = np.asarray(archs)
    assert np.all(archs >= low[None]) and np.all(archs <= high[None])
    assert len(np.unique(archs, axis=0)) > BATCH // 2


def test_points_of_one_bin_are_one_architecture_and_alone_as_in_a_batch(made):
    space, decode = made
    bins = draw_bins(space, 1, 2 * BATCH)
    rng = np.random.default_rng(2)
    middle, _ = decode(points(space, bins, 0.5))
    anywhere, _ = decode(points(space, bins, rng.uniform(0.01, 0.99, bins.shape)))
    np.testing.assert_array_equal(middle, anywhere)
    alone = jax.jit(space.decode, compiler_options=QUICK)(points(space, bins[3], 0.5))
    np.testing.assert_array_equal(alone, middle[3])


def test_nasbench201_has_one_cell_a_bin():
    space = nasbench201.make()
    bins = np.array([*itertools.product(range(5), repeat=6)])
    archs = jax.jit(jax.vmap(space.decode))(points(space, bins, 0.5))
    np.testing.assert_array_equal(archs, bins)
    # The lower end of a bin belongs to it.
    archs = jax.jit(jax.vmap(space.decode))(points(space, bins, 0.0))
    np.testing.assert_array_equal(archs, bins)


def test_nasbench101_leaves_valid_cells_as_they_are():
    space = nasbench101.make()
    keys = jax.random.split(jax.random.key(0), BATCH)
    archs = np.asarray(jax.jit(jax.vmap(space.sample), compiler_options=QUICK)(keys))
    units = points(space, archs[:, :-1], 0.5)
    np.testing.assert_array_equal(
        jax.jit(jax.vmap(space.decode), compiler_options=QUICK)(units), archs
    )


def test_nasbench101_repairs_as_described():
    decode = jax.jit(nasbench101.decode, compiler_options=QUICK)
    full = np.asarray(decode(jnp.ones(26)))
    # All 21 edges: the last ones go until at most nine are on paths; bridges stay.
    kept = [e for e, bit in zip(nasbench101.EDGES, full, strict=False) if bit]
    assert kept == _thinned(set(nasbench101.EDGES))
    none = np.asarray(decode(jnp.zeros(26)))
    assert none[:21].sum() == 1 and none[nasbench101.EDGES.index((0, 6))] == 1


def _on_paths(edges):
    def reach(start, pairs):
        found = {start}
        for _ in range(7):
            found |= {b for a, b in pairs if a in found}
        return found

    kept = reach(0, edges) & reach(6, {(b, a) for a, b in edges})
    return {(a, b) for a, b in edges if a in kept and b in kept}, 6 in reach(0, edges)


def _thinned(edges):
    for edge in sorted(edges, reverse=True):
        if len(_on_paths(edges)[0]) > 9 and _on_paths(edges - {edge})[1]:
            edges = edges - {edge}
    return sorted(edges)


@pytest.mark.parametrize("name", ["darts", "darts_shared"])
def test_darts_reaches_every_cell_up_to_the_order_of_inputs(name):
    space = spaces.make(name)
    assert np.prod([float(s) for s in space.unit_sizes]) == pytest.approx(space.size)
    keys = jax.random.split(jax.random.key(0), 64)
    archs = np.asarray(jax.jit(jax.vmap(space.sample))(keys))
    bins, expected = [], []
    for arch in archs:
        row, steps = [], []
        for cell in arch.reshape(-1, darts.NUM_STEPS, 2, 2):
            ordered = [sorted(step.tolist(), key=lambda edge: edge[1]) for step in cell]
            steps += ordered
            row += [op for step in ordered for op, _ in step]
            for step in range(1, darts.NUM_STEPS):
                pairs = [*itertools.combinations(range(step + 2), 2)]
                row.append(pairs.index(tuple(state for _, state in ordered[step])))
        bins.append(row)
        expected.append(np.ravel(steps))
    found = jax.jit(jax.vmap(space.decode))(points(space, bins, 0.5))
    np.testing.assert_array_equal(found, expected)


def _rank(vertex, taken, allowed):
    return [v for v in allowed if v not in taken].index(vertex)


def _nlp_bins(arch, num_nodes):
    """The bins of a recipe, written from the description of the coordinates."""
    ops, inputs, hidden = (np.asarray(part).tolist() for part in nlp.unpack(arch))
    states = [v - 4 for v in hidden if v >= 0]
    bins = [len(states) - 1]
    for j in range(3):
        taken = states[:j]
        known = j < len(states)
        bins.append(_rank(states[j], taken, range(num_nodes)) if known else 0)
    for i in range(num_nodes):
        reads = [v for v in inputs[i] if v >= 0]
        if ops[i] < 0:
            bins += [0, 0, 0, 0]
            continue
        allowed = [*range(1, len(states) + 1), *range(4, 4 + i)]
        allowed = [0, *allowed] if ops[i] == nlp.LINEAR else allowed
        bins.append(7 if ops[i] == nlp.LINEAR and len(reads) == 3 else ops[i])
        picks = [_rank(v, reads[:k], allowed) for k, v in enumerate(reads)]
        bins += [*picks, 0, 0, 0][:3]
    return bins


def _drawn_recipe(rng, num_nodes):
    """Genes of nodes that take what they may; a hidden state may need all or not."""
    nodes = int(rng.integers(1, num_nodes + 1))
    states = int(rng.integers(1, min(nodes, 3) + 1))
    genes = np.full((nlp.MAX_STEPS, 4), -1)
    for i in range(nodes):
        op = int(rng.integers(0, 7))
        allowed = [*range(1, states + 1), *range(4, 4 + i)]
        allowed = [0, *allowed] if op == nlp.LINEAR else allowed
        count = 2 + int(rng.integers(0, 2)) if op == nlp.LINEAR else (op > 2) + 1
        count = 3 if op == nlp.BLEND else count
        genes[i, 0] = op
        if count <= len(allowed):
            genes[i, 1 : 1 + count] = rng.permutation(allowed)[:count]
    hidden = np.full(3, -1)
    hidden[:states] = 4 + rng.permutation(nodes)[:states]
    return np.concatenate([genes.reshape(-1), hidden]).astype(np.int32)


def test_nasbench_nlp_reaches_every_recipe():
    space, nodes = spaces.make("nasbench_nlp", max_nodes=12), 8
    rng = np.random.default_rng(0)
    archs = np.stack([_drawn_recipe(rng, nodes) for _ in range(4096)])
    archs = archs[jax.jit(jax.vmap(space.is_valid), compiler_options=QUICK)(archs)]
    sizes = np.sum(archs[:, :60:4] >= 0, axis=1)
    assert len(archs) > 100 and set(sizes.tolist()) >= {1, 2, 3, 4}
    assert set(np.unique(archs[:, :60:4])) == set(range(-1, 7))
    bins = [_nlp_bins(arch, nodes) for arch in archs]
    decode = jax.jit(jax.vmap(space.decode), compiler_options=QUICK)
    np.testing.assert_array_equal(decode(points(space, bins, 0.5)), archs)


def test_a_space_with_other_options_has_other_bins():
    space = spaces.make("darts", none=True)
    assert set(space.unit_sizes) == {8, 3, 6, 10}
    arch = jax.jit(functools.partial(space.decode))(jnp.full(22, BELOW_ONE))
    assert int(arch[0]) == darts.NONE and bool(space.is_valid(arch))
