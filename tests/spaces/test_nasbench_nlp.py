"""Recurrent recipes: the real logs, plain rules, isomorphism, changes."""

import json
import zipfile

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import plain_nasbench_nlp as plain
from shared import shared_file

from nasjax import spaces
from nasjax.core import errors
from nasjax.spaces import nasbench_nlp as space
from nasjax.spaces import nasbench_nlp_changes as changes

SEEDS = st.integers(0, 2**32 - 1)
BATCH = 240
MAX_NODES = 12
SMALL = spaces.make("nasbench_nlp", max_nodes=MAX_NODES)

sample = jax.jit(jax.vmap(SMALL.sample))
mutate = jax.jit(jax.vmap(SMALL.mutate))
valid = jax.jit(jax.vmap(space.is_valid))
valid_small = jax.jit(jax.vmap(SMALL.is_valid))
fingerprints = jax.jit(jax.vmap(space.fingerprint))
prune = jax.jit(jax.vmap(space.prune))


def keys(seed):
    return jax.random.split(jax.random.key(seed), BATCH)


def recipe(arch):
    return json.loads(space.recipes.format_arch(arch))


def parse(**nodes):
    """Genes of `name=(op, *inputs)`."""
    text = {name: {"op": op, "input": list(i)} for name, (op, *i) in nodes.items()}
    return space.recipes.parse_arch(json.dumps(text))


@pytest.fixture(scope="module")
def logs():
    """Recipe and status of each real log."""
    path = shared_file("data", "nasbench_nlp", "train_logs_wikitext-2", "logs.zip")
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".json")]
        stored = [json.loads(archive.read(name)) for name in names]
    return [(log["recepie"], log["status"]) for log in stored]


def test_real_recipes_are_read(logs):
    assert len(logs) == 240
    archs = np.stack([space.recipes.parse_arch(text) for text, _ in logs])
    assert np.all(valid(archs))
    usable = np.array([status == "OK" for _, status in logs])
    assert usable.sum() == 238
    assert np.asarray(valid_small(archs))[usable].sum() == 163
    for (text, _), arch in zip(logs, archs, strict=True):
        assert plain.isomorphic(json.loads(text), recipe(arch))
        again = space.recipes.parse_arch(space.recipes.format_arch(arch))
        np.testing.assert_array_equal(again, arch)


def test_graphs_of_real_recipes(logs):
    archs = np.stack([space.recipes.parse_arch(text) for text, _ in logs])
    graph = jax.jit(jax.vmap(space.to_graph))(archs)
    ids = {name: i + 1 for i, name in enumerate(space.OP_NAMES)}
    for i, arch in enumerate(archs):
        nodes = recipe(arch)
        size = 4 + len(nodes)
        expected = np.zeros((19, 19), int)
        expected[:size, :size] = plain.adjacency(nodes, list(nodes))
        np.testing.assert_array_equal(graph.adjacency[i], expected)
        ops = [0] * 4 + [ids[node["op"]] for node in nodes.values()]
        assert graph.ops[i].tolist() == ops + [-1] * (19 - size)
        assert graph.num_nodes[i] == size


def test_fingerprints_tell_real_recipes_apart_as_isomorphism_does(logs):
    texts = [json.loads(text) for text, _ in logs]
    archs = np.stack([space.recipes.parse_arch(text) for text, _ in logs])
    found = [tuple(row) for row in np.asarray(fingerprints(archs)).tolist()]
    by_size = {}
    for text, key in zip(texts, found, strict=True):
        by_size.setdefault(len(text), []).append((text, key))
    for group in by_size.values():
        for i, (text, key) in enumerate(group):
            for other, other_key in group[:i]:
                assert (key == other_key) == plain.isomorphic(text, other)


@given(SEEDS)
@settings(max_examples=4, deadline=None)
def test_fingerprint_is_equal_exactly_for_isomorphic_recipes(seed):
    archs = np.asarray(sample(keys(seed)))
    short = [arch for arch in archs if np.sum(arch[:60:4] >= 0) <= 4][:40]
    rng = np.random.default_rng(seed)
    nodes = [recipe(arch) for arch in short]
    nodes += [plain.rewritten(rng, node) for node in nodes]
    archs = [space.recipes.parse_arch(json.dumps(node)) for node in nodes]
    padded = np.stack(archs + [archs[0]] * (BATCH - len(archs)))
    found = np.asarray(fingerprints(padded)).tolist()
    half = len(short)
    for i in range(half):
        assert found[i] == found[half + i]
        for j in range(i):
            assert (found[i] == found[j]) == plain.isomorphic(nodes[i], nodes[j])


def test_fingerprint_minds_the_roles_in_a_blend_and_the_states():
    states = {"a": ("linear", "x", "h_prev_0"), "b": ("linear", "x", "h_prev_1")}
    gate = {"g": ("activation_sigm", "a"), "h_new_1": ("activation_tanh", "b")}
    other = {"h_new_1": ("activation_sigm", "a"), "g": ("activation_tanh", "b")}
    archs = [
        parse(**states, **gate, h_new_0=("blend", "g", "a", "b")),
        parse(**states, **gate, h_new_0=("blend", "g", "b", "a")),
        parse(**states, **gate, h_new_0=("blend", "a", "g", "b")),
        parse(**states, **other, h_new_0=("blend", "g", "a", "b")),
        parse(b=states["b"], a=states["a"], **gate, h_new_0=("blend", "g", "a", "b")),
    ]
    found = np.asarray(fingerprints(np.stack(archs * (BATCH // 5))))[:5]
    assert len(np.unique(found[:4], axis=0)) == 4
    np.testing.assert_array_equal(found[4], found[0])


@given(SEEDS)
@settings(max_examples=3, deadline=None)
def test_samples_and_mutants_obey_the_rules(seed):
    archs = sample(keys(seed))
    children = mutate(keys(seed + 1), archs)
    for batch in (archs, children):
        assert np.all(valid_small(batch))
        np.testing.assert_array_equal(prune(batch), batch)
        for arch in np.asarray(batch):
            nodes = recipe(arch)
            assert plain.is_valid(nodes, MAX_NODES)
            np.testing.assert_array_equal(
                space.recipes.parse_arch(json.dumps(nodes)), arch
            )
    changed = np.any(np.asarray(children) != np.asarray(archs), axis=1)
    assert np.mean(changed) > 0.99


@given(SEEDS)
@settings(max_examples=3, deadline=None)
def test_validity_matches_plain_rules_after_any_change_of_a_gene(seed):
    rng = np.random.default_rng(seed)
    archs = np.array(sample(keys(seed)))
    for arch in archs:
        steps = np.sum(arch[:60:4] >= 0)
        node = rng.integers(steps)
        slots = np.flatnonzero(arch[4 * node + 1 : 4 * node + 4] >= 0)
        gene = rng.choice([4 * node, *(4 * node + 1 + slots), 60])
        if gene == 60:
            arch[gene] = 4 + rng.integers(steps)
        elif gene % 4 == 0:
            arch[gene] = rng.integers(7)
        else:
            arch[gene] = rng.integers(4 + node)
    # A node that is two hidden states has only one name in a recipe.
    states = [row[row >= 0].tolist() for row in archs[:, 60:]]
    expected = [
        len(set(named)) == len(named) and plain.is_valid(recipe(arch), MAX_NODES)
        for named, arch in zip(states, archs, strict=True)
    ]
    assert 0 < sum(expected) < BATCH
    np.testing.assert_array_equal(valid_small(archs), expected)


MALFORMED = {
    "unknown operation": {0: 7},
    "no nodes": {0: -1, 4: -1},
    "input after the first node that is absent": {9: 0},
    "a gap between inputs": {2: -1, 3: 0},
    "reads itself": {1: 4},
    "reads a later node": {1: 5},
    "reads one vertex twice": {1: 1},
    "no hidden state": {60: -1},
    "a base vertex as hidden state": {60: 1},
    "a node that is not there as hidden state": {60: 6},
    "one node is two hidden states": {61: 5},
    "a gap between hidden states": {60: -1, 61: 5},
    "a previous state of no new one": {3: 2},
}


@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED)
def test_malformed_genes_are_not_valid(change):
    archs = np.tile(space.recipes.SIMPLE_CELL, (BATCH, 1))
    for gene, value in change.items():
        archs[1:, gene] = value
    assert np.asarray(valid(archs))[:2].tolist() == [True, False]


def test_pruning_drops_what_no_state_needs():
    arch = np.array(space.recipes.SIMPLE_CELL)
    # A dead node before the others: everything moves up by one.
    longer = np.full_like(arch, -1)
    longer[:4] = [3, 1, 2, -1]
    longer[4:12] = [5, 0, 1, -1, 1, 5, -1, -1]
    longer[60] = 6
    pruned = prune(np.tile(longer, (BATCH, 1)))
    np.testing.assert_array_equal(pruned[0], arch)


def test_mutation_makes_every_kind_of_change():
    parent = parse(
        a=("linear", "x", "h_prev_0", "h_prev_1"),
        b=("activation_sigm", "a"),
        h_new_1=("elementwise_prod", "b", "h_prev_0"),
        c=("elementwise_sum", "h_new_1", "a"),
        h_new_0=("activation_tanh", "c"),
    )
    children = np.asarray(mutate(keys(0), np.tile(parent, (BATCH, 1))))
    sizes = {int(size) for size in np.sum(children[:, :60:4] >= 0, axis=1)}
    assert sizes >= {4, 5, 6}
    same_nodes = np.all(children[:, :60] == parent[:60], axis=1)
    assert np.any(same_nodes & np.any(children[:, 60:] != parent[60:], axis=1))
    widths = [
        len(recipe(child).get("node_0", {"input": "?"})["input"]) for child in children
    ]
    assert 2 in widths and 3 in widths


def test_a_full_recipe_does_not_grow():
    chain = {f"n{i}": ("activation_tanh", f"n{i - 1}") for i in range(1, 7)}
    last = {"h_new_0": ("activation_sigm", "n6")}
    full = parse(n0=("linear", "x", "h_prev_0"), **chain, **last)
    children = np.asarray(mutate(keys(2), np.tile(full, (BATCH, 1))))
    assert np.sum(full[:60:4] >= 0) == MAX_NODES - 4
    assert np.all(valid_small(children)) and np.any(children != full)


@jax.jit
def changed(arch, change):
    return space.pack(changes.apply(space.unpack(arch), change))


def apply(arch, kind, node=0, slot=0, choice=0, vertex=0):
    return recipe(changed(arch, changes.Change(kind, node, slot, choice, vertex)))


def test_changes_by_hand():
    base = parse(
        a=("linear", "x", "h_prev_0"),
        b=("activation_sigm", "a"),
        h_new_0=("elementwise_prod", "a", "b"),
    )
    nodes = recipe(base)
    cell = {"op": "linear", "input": ["x", "h_prev_0"]}
    assert list(nodes) == ["node_0", "node_1", "h_new_0"]
    assert apply(base, changes.OPERATION, 1, choice=1)["node_1"]["op"] == (
        "activation_tanh"
    )
    assert apply(base, changes.OPERATION, 2, choice=1)["h_new_0"]["op"] == "linear"
    rewired = apply(base, changes.INPUT, 2, 1, vertex=1)
    assert rewired["h_new_0"]["input"] == ["node_0", "h_prev_0"]
    assert list(apply(base, changes.HIDDEN, 1))[1] == "h_new_0"
    wider = apply(base, changes.WIDTH, 0, 2, vertex=2)
    assert wider["node_0"]["input"] == ["x", "h_prev_0", "h_prev_1"]
    longer = apply(base, changes.INSERT, 2, 0, choice=1)
    assert longer["node_2"] == {"op": "activation_tanh", "input": ["node_0"]}
    assert longer["h_new_0"]["input"] == ["node_2", "node_1"]
    assert longer["node_0"] == cell
    summed = apply(base, changes.INSERT, 1, 0, choice=3, vertex=1)
    assert summed["node_1"] == {
        "op": "elementwise_sum",
        "input": ["node_0", "h_prev_0"],
    }
    assert summed["node_2"]["input"] == ["node_1"]
    bypassed = apply(base, changes.BYPASS, 1, 0)
    assert bypassed["h_new_0"]["input"] == ["node_0", "node_0"]
    three = parse(
        a=("linear", "x", "h_prev_0", "h_prev_1"),
        h_new_0=("linear", "a", "x"),
        h_new_1=("activation_tanh", "a"),
    )
    assert apply(three, changes.WIDTH, 0, 1)["node_0"]["input"] == ["x", "h_prev_1"]
    swapped = apply(three, changes.OPERATION, 0, choice=1)["node_0"]["op"]
    assert swapped == "blend"


def test_neighbors_are_valid_other_cells():
    archs = np.asarray(sample(keys(3)))[:6]
    found, mask = map(np.asarray, jax.jit(jax.vmap(SMALL.neighbors))(archs))
    assert found.shape == (6, 392, 63)
    for arch, candidates, ok in zip(archs, found, mask, strict=True):
        assert ok.sum() > 3
        nodes, some = recipe(arch), candidates[ok]
        for candidate in some:
            other = recipe(candidate)
            assert plain.is_valid(other, MAX_NODES)
            assert not plain.isomorphic(nodes, other)
        # Every other activation of every activation node is among them.
        for node in range(np.sum(arch[:60:4] >= 0)):
            if arch[4 * node] < 3:
                for op in {0, 1, 2} - {int(arch[4 * node])}:
                    wanted = arch.copy()
                    wanted[4 * node] = op
                    same = plain.isomorphic(nodes, recipe(wanted))
                    assert same or np.any(np.all(some == wanted, axis=1))


def test_limits_of_the_factory():
    for bad in (6, 20):
        with pytest.raises(errors.ConfigError, match=f"not {bad}"):
            spaces.make("nasbench_nlp", max_nodes=bad)


LINEAR = {"op": "linear", "input": ["x", "h_prev_0"]}
NODE = {"op": "activation_tanh", "input": ["f"]}
BAD = {
    "no recipe": ([], "JSON object"),
    "empty": ({}, "JSON object"),
    "too long": ({f"n{i}": LINEAR for i in range(16)}, "at most 15"),
    "not a node": ({"h_new_0": "linear"}, "must be"),
    "without inputs": ({"h_new_0": {"op": "linear"}}, "must be"),
    "inputs not a list": ({"h_new_0": {"op": "linear", "input": "x"}}, "list of input"),
    "called like a base": ({"x": LINEAR}, "'x' must be"),
    "unknown operation": (
        {"h_new_0": {**LINEAR, "op": "linaer"}},
        "did you mean 'linear'",
    ),
    "operation not text": ({"h_new_0": {**LINEAR, "op": 3}}, "unknown operation 'int'"),
    "unknown input": ({"h_new_0": {**LINEAR, "input": ["x", "y"]}}, "reads 'y'"),
    "too few inputs": ({"h_new_0": {**LINEAR, "input": ["x"]}}, "takes 2 to 3"),
    "one input twice": ({"h_new_0": {**LINEAR, "input": ["x", "x"]}}, "different"),
    "x in a sum": (
        {"h_new_0": {"op": "elementwise_sum", "input": ["x", "h_prev_0"]}},
        "may read x",
    ),
    "no hidden state": ({"f": LINEAR}, "h_new_0"),
    "a gap in hidden states": ({"h_new_1": LINEAR}, "without a gap"),
    "dead node": ({"f": LINEAR, "h_new_0": LINEAR}, "needs 'f'"),
    "state not read": (
        {"f": LINEAR, "h_new_0": NODE, "h_new_1": LINEAR},
        "needs 'h_prev_1'",
    ),
    "state not made": (
        {"h_new_0": {"op": "linear", "input": ["x", "h_prev_0", "h_prev_2"]}},
        "has no 'h_new_2'",
    ),
    "cycle": (
        {
            "a": {"op": "linear", "input": ["x", "h_prev_0", "f"]},
            "f": {"op": "activation_tanh", "input": ["a"]},
            "h_new_0": NODE,
        },
        "wait for each other",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_bad_recipes_are_refused(content, message):
    with pytest.raises(errors.UnknownArchitecture, match=message):
        space.recipes.parse_arch(json.dumps(content))


def test_what_is_not_json_is_refused():
    for text in ("", "{", "[" * 100_000, "os.system('x')[0]"):
        with pytest.raises(errors.UnknownArchitecture, match="must be JSON"):
            space.recipes.parse_arch(text)
    twice = '{"h_new_0": {"op": "linear", "input": ["x"]}, "h_new_0": 1}'
    with pytest.raises(errors.UnknownArchitecture, match="same name twice"):
        space.recipes.parse_arch(twice)


def test_a_recipe_is_read_as_python_prints_it():
    nodes = {"h_new_0": {"op": "linear", "input": ["x", "h_prev_0"]}}
    expected = space.recipes.parse_arch(json.dumps(nodes))
    for text in (str(nodes), f"recipe = {nodes}", f"OrderedDict({nodes})"):
        np.testing.assert_array_equal(space.recipes.parse_arch(text), expected)


def test_nodes_may_come_in_any_order():
    arch = parse(h_new_0=("activation_tanh", "f"), f=("linear", "x", "h_prev_0"))
    np.testing.assert_array_equal(arch, space.recipes.SIMPLE_CELL)
