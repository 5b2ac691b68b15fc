"""DARTS genotypes: published graphs, counts, strings, and isomorphism."""

import json
import re

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.plain_darts import random_archs, rewritten
from shared import shared_file

from nasjax import spaces
from nasjax.core import errors
from nasjax.spaces import darts as space

SEEDS = st.integers(0, 2**32 - 1)
BATCH = 128
fingerprints = jax.jit(jax.vmap(space.fingerprint))
graphs = jax.jit(jax.vmap(space.to_graph))

# The genotype of the paper's second-order search.
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), "
    "('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), "
    "('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
IMAGENET = {
    "channels": 48,
    "num_layers": 14,
    "image_size": 224,
    "num_classes": 1000,
    "stem": "imagenet",
}
NETWORKS = {
    "cifar_c32_l8": {"channels": 32, "num_layers": 8},
    "cifar_c36_l20": {},
    "imagenet_c48_l14": IMAGENET,
}


def with_none_last(cells):
    """Golden operations, `none` first, as genes: `none` last."""
    cells = cells.copy()
    cells[..., 0] = (cells[..., 0] - 1) % 8
    return cells


def labelled(adjacency, ops):
    graph = nx.DiGraph(list(zip(*np.nonzero(adjacency), strict=True)))
    for vertex, op in enumerate(ops.tolist()):
        graph.add_node(vertex, op=op)
    return graph


def isomorphic(one, other):
    """Whether all cells of two genotypes are, by their 15-node graphs."""

    def same(a, b):
        return a["op"] == b["op"]

    pairs = zip(one, other, strict=True)
    return all(nx.is_isomorphic(a, b, node_match=same) for a, b in pairs)


@pytest.mark.parametrize("network", NETWORKS)
def test_costs_of_the_golden_networks(network):
    with np.load(shared_file("golden", "darts_macs.npz")) as file:
        stored = dict(file)
    names = ("genotype/normal_op_input", "genotype/reduce_op_input")
    cells = np.stack([stored[name] for name in names], axis=1)
    archs = with_none_last(cells).reshape(len(cells), -1)

    def count(arch):
        return space.costs(arch, **NETWORKS[network])

    counts = jax.jit(jax.vmap(count))(archs)
    np.testing.assert_array_equal(counts.parameters, stored[f"{network}/params"])
    np.testing.assert_array_equal(counts.macs, stored[f"{network}/macs_conv_linear"])
    np.testing.assert_array_equal(counts.thop, stored[f"{network}/macs_thop_0_1_1"])
    shared = stored["genotype/shared_cell"] == 1
    halves = jax.jit(jax.vmap(count))(archs[shared, :16])
    np.testing.assert_array_equal(halves.macs, np.asarray(counts.macs)[shared])


def test_costs_of_the_published_genotype():
    arch = jnp.asarray(space.parse_arch(DARTS_V2))
    cifar = space.costs(arch)
    assert tuple(map(int, cifar)) == (3_349_342, 528_359_040, 549_851_328)
    imagenet = space.costs(arch, **IMAGENET)
    assert tuple(map(int, imagenet)) == (4_718_752, 529_911_552, 546_470_400)


def test_networks_that_cannot_be_counted_are_refused():
    arch = jnp.asarray(space.parse_arch(DARTS_V2))
    with pytest.raises(errors.ConfigError, match="channels=512"):
        space.costs(arch, channels=512)
    with pytest.raises(errors.ConfigError, match="did you mean 'imagenet'"):
        space.costs(arch, stem="imagnet")


@pytest.mark.parametrize("side", "xy")
def test_graph_is_the_one_of_the_golden_file(side):
    with np.load(shared_file("golden", "cate_darts.npz")) as file:
        cells = file[f"inputs/genotype_op_input_{side}"]
        tokens, adjacency = (
            file[f"inputs/tokens_{side}"],
            file[f"inputs/adjacency_{side}"],
        )
    graph = graphs(cells.reshape(len(cells), -1))
    np.testing.assert_array_equal(graph.adjacency, adjacency)
    np.testing.assert_array_equal(graph.ops, tokens)
    assert np.all(np.asarray(graph.num_nodes) == 15)


def test_compact_graph_is_the_one_of_the_golden_file():
    with np.load(shared_file("golden", "arch2vec_darts.npz")) as file:
        cells, adjacency = file["inputs/genotype_op_input"], file["inputs/adjacency"]
        one_hot = file["inputs/ops"]
    archs = with_none_last(cells).reshape(len(cells), -1)
    graph = jax.jit(jax.vmap(space.to_compact_graph))(archs)
    np.testing.assert_array_equal(graph.adjacency, adjacency)
    np.testing.assert_array_equal(graph.ops, one_hot.argmax(-1))


def test_compact_graph_is_read_back():
    archs = random_archs(5, num_cells=1, num_ops=8)
    back = jax.jit(
        jax.vmap(lambda arch: space.from_compact_graph(space.to_compact_graph(arch)))
    )(archs)
    np.testing.assert_array_equal(back, archs)
    # What is no cell is no valid genotype, or the genotype of another graph.
    graph = space.to_compact_graph(jnp.asarray(archs[0]))
    mislabelled = graph._replace(ops=graph.ops.at[4].set(0))
    genes = space.from_compact_graph(mislabelled)
    assert not space.is_valid(genes, num_ops=8)


def test_graphs_have_a_cell_axis_only_for_two_cells():
    arch = jnp.asarray(space.parse_arch(DARTS_V2))
    both, one, compact = jax.jit(
        lambda a: (space.to_graph(a), space.to_graph(a[:16]), space.to_compact_graph(a))
    )(arch)
    assert both.adjacency.shape == (2, 15, 15) and one.adjacency.shape == (15, 15)
    np.testing.assert_array_equal(both.ops[0], one.ops)
    assert compact.adjacency.shape == (2, 11, 11)


def test_none_has_its_own_id_in_both_graphs():
    arch = np.array(space.parse_arch(DARTS_V2))
    arch[0] = space.NONE
    ops = np.asarray(space.to_graph(jnp.asarray(arch)).ops)
    names = spaces.make("darts", none=True).graph_op_names
    assert names[ops[0, 3]] == "none" and names[ops[0, 4]] == "sum"
    compact = np.asarray(space.to_compact_graph(jnp.asarray(arch)).ops)
    assert space.COMPACT_OP_NAMES[compact[0, 2]] == "none"


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_fingerprint_forgets_orders_that_mean_nothing(seed):
    archs = random_archs(seed)
    rng = np.random.default_rng(seed)
    other = np.stack([rewritten(rng, arch) for arch in archs])
    assert np.any(other != archs)
    np.testing.assert_array_equal(fingerprints(other), fingerprints(archs))


@given(SEEDS)
@settings(max_examples=8, deadline=None)
def test_fingerprint_is_equal_exactly_for_isomorphic_cells(seed):
    archs = random_archs(seed, num_cells=1, num_ops=1)
    graph = graphs(archs)
    nets = [[labelled(*pair)] for pair in zip(*map(np.asarray, graph[:2]), strict=True)]
    keys = np.asarray(fingerprints(archs)).tolist()
    equal = 0
    for i in range(40):
        for j in range(i):
            same = isomorphic(nets[i], nets[j])
            assert (keys[i] == keys[j]) == same
            equal += same
    assert equal > 0


def test_fingerprint_tells_the_cells_apart():
    arch = np.tile(space.parse_arch(DARTS_V2), (BATCH, 1))
    arch[1] = np.roll(arch[0], 16)
    arch[2, 16:] = arch[2, :16]
    arch[3, :16] = arch[3, 16:]
    assert len(np.unique(fingerprints(arch)[:4], axis=0)) == 4


def test_neighbors_are_all_single_changes():
    archs = random_archs(1, size=4)
    found, mask = jax.jit(jax.vmap(space.neighbors))(archs)
    assert found.shape == (4, 120, 32) and np.all(mask)
    for arch, candidates in zip(archs, np.asarray(found), strict=True):
        expected = set()
        for gene in range(32):
            for value in range(7):
                other = arch.copy()
                other[gene] = value
                inputs = other.reshape(2, 4, 2, 2)[..., 1]
                if gene % 2 and (
                    np.any(inputs >= np.arange(2, 6)[:, None])
                    or np.any(inputs[..., 0] == inputs[..., 1])
                ):
                    continue
                expected.add(tuple(other.tolist()))
        expected.remove(tuple(arch.tolist()))
        assert {*map(tuple, candidates.tolist())} == expected


def test_mutation_changes_an_operation_or_an_input_evenly():
    parent = np.asarray(space.parse_arch(DARTS_V2))
    keys = jax.random.split(jax.random.key(0), 4000)
    children = jax.jit(jax.vmap(space.mutate, in_axes=(0, None)))(keys, parent)
    genes = np.argwhere(np.asarray(children) != parent)
    assert len(genes) == 4000
    assert abs(np.mean(genes[:, 1] % 2) - 0.5) < 0.04
    # Operations of all 16 edges; inputs of all steps but the first of each cell.
    assert len(np.unique(genes[:, 1])) == 16 + 12


def test_sampled_inputs_are_uniform_pairs():
    keys = jax.random.split(jax.random.key(0), 3000)
    archs = np.asarray(jax.jit(jax.vmap(space.sample))(keys)).reshape(3000, 2, 4, 2, 2)
    for step in range(4):
        pairs = np.sort(archs[:, :, step, :, 1].reshape(-1, 2), axis=1)
        _, counts = np.unique(pairs, axis=0, return_counts=True)
        expected = 6000 / ((step + 2) * (step + 1) // 2)
        assert len(counts) == round(6000 / expected)
        assert np.all(np.abs(counts - expected) < 6 * np.sqrt(expected))
    _, counts = np.unique(archs[..., 0], return_counts=True)
    assert np.all(np.abs(counts - 48000 / 7) < 6 * np.sqrt(48000 / 7))


def test_validity():
    good = np.asarray(space.parse_arch(DARTS_V2))
    archs = np.tile(good, (6, 1))
    archs[1, 0] = 7  # none
    archs[2, 0] = -1
    archs[3, 1] = 1  # both inputs of the first step are state 1
    archs[4, 5] = 3  # step 1 reads itself
    archs[5, 5] = -1
    assert jax.vmap(space.is_valid)(archs).tolist() == [True] + [False] * 5
    with_none = spaces.make("darts", none=True).is_valid
    assert jax.vmap(with_none)(archs).tolist() == [True, True] + [False] * 4


def test_text_round_trip_of_a_published_genotype():
    arch = space.parse_arch(DARTS_V2)
    assert arch[:8].tolist() == [3, 0, 3, 1, 3, 0, 3, 1]
    text = space.format_arch(arch)
    assert text == DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)")
    np.testing.assert_array_equal(space.parse_arch(text), arch)
    shared = text.split("reduce=")[0]
    shared += shared.removeprefix("Genotype(").replace("normal", "reduce")
    shared = shared.rstrip(", ") + ")"
    np.testing.assert_array_equal(space.parse_arch(shared, shared=True), arch[:16])
    assert space.format_arch(arch[:16]) == shared


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Genotype(", "Genotype", "write it as"),
        ("('sep_conv_3x3', 0), ", "", "7 edges, an odd number"),
        ("[2, 3, 4, 5]", "[2, 3, 4]", r"normal_concat is not range\(2, 6\)"),
        ("[2, 3, 4, 5]", "range(2, 7)", r"normal_concat is not range\(2, 6\)"),
        ("'sep_conv_3x3', 0", "__import__('os'), 0", "a name and an integer"),
        ("'sep_conv_3x3', 0", "0, 'sep_conv_3x3'", "in this order"),
        ("'sep_conv_3x3', 0", "'sep_conv_3x3', 0.5", "a name and an integer"),
        ("'sep_conv_3x3', 0", "'sep_conv_3x3', True", "a name and an integer"),
        ("'sep_conv_3x3', 0", "'sep_conv_3x3', 0, 2", "a pair"),
        ("'sep_conv_3x3', 0", "'sep_conv3x3', 0", "did you mean 'sep_conv_3x3'"),
        ("'sep_conv_3x3', 0", "'none', 0", "none=True"),
        ("'sep_conv_3x3', 0", "'sep_conv_3x3', 1", "reads the state 1 twice"),
        ("'sep_conv_3x3', 0", "'sep_conv_3x3', -1", "state -1, which is not before"),
        ("'dil_conv_3x3', 2", "'dil_conv_3x3', 5", "reads the state 5"),
        ("normal=[", "normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ", "5 steps"),
        ("normal_concat=", "concat=", "no field normal_concat"),
        ("normal=", "stem=3, normal=", "has the field stem"),
        ("normal=", "normal=[], normal=", "keyword|cannot read"),
        ("normal=[", "normal=[] + [", "BinOp"),
    ],
)
def test_bad_text_is_refused(old, new, message):
    assert old in DARTS_V2
    with pytest.raises(errors.UnknownArchitecture, match=message):
        space.parse_arch(DARTS_V2.replace(old, new, 1))


def printed_forms():
    """The same genotype as programs print it."""
    pairs = re.findall(r"\('\w+', \d\)", DARTS_V2)
    steps = [f"[{a}, {b}]" for a, b in zip(pairs[::2], pairs[1::2], strict=True)]
    normal, reduce = f"[{', '.join(steps[:4])}]", f"[{', '.join(steps[4:])}]"
    flat = [f"[{', '.join(part)}]" for part in (pairs[:8], pairs[8:])]
    concat = "list(range(2, 6))"
    tuples = f"({', '.join(s.replace('[', '(').replace(']', ')') for s in steps[:4])})"
    named = f"{{'normal': {flat[0]}, 'normal_concat': {concat}, "
    named += f"'reduce': {flat[1]}, 'reduce_concat': [2, 3, 4, 5]}}"
    line = re.sub(r", (\d)\)", r", np.int64(\1))", DARTS_V2)
    return {
        "numpy": line,
        "numpy_strings": re.sub(r"'(\w+)'", r"np.str_('\1')", line),
        "torch": re.sub(r", (\d)\)", r", tensor(\1, device='cuda:0'))", DARTS_V2),
        "numpy_concat": line.replace("[2, 3", "[np.int64(2), np.int64(3)"),
        "array_concat": line.replace("[2, 3, 4, 5]", "array([2, 3, 4, 5])"),
        "list_of_range": DARTS_V2.replace("[2, 3, 4, 5]", concat),
        "tuple_concat": DARTS_V2.replace("[2, 3, 4, 5]", "(2, 3, 4, 5)"),
        "a_list_a_step": f"Genotype(normal={normal}, normal_concat={concat}, "
        f"reduce={reduce}, reduce_concat={concat})",
        "tuples": f"Genotype(normal={tuples}, normal_concat=range(2, 6), "
        f"reduce={reduce}, reduce_concat=range(2, 6, 1))",
        "order": f"Genotype(reduce_concat={concat}, reduce={flat[1]}, "
        f"normal_concat={concat}, normal={flat[0]},)",
        "by_position": f"Genotype({flat[0]}, {concat}, {flat[1]}, {concat})",
        "lists_of_pairs": re.sub(r"\(('\w+', \d)\)", r"[\1]", DARTS_V2),
        "module": f"genotypes.{DARTS_V2}",
        "assigned": f"DARTS_V2 = {DARTS_V2}\n",
        "of_a_log": f"2019-05-05 01:02:03,456 genotype = {DARTS_V2}",
        "lines": DARTS_V2.replace(", ", ",\n    "),
        "dictionary": named,
        "ordered": f"OrderedDict({named})",
        "json": named.replace("'", '"').replace(concat, "[2, 3, 4, 5]"),
        "quoted": repr(DARTS_V2),
        "quoted_by_json": f" {json.dumps(DARTS_V2)}\n",
        "quoted_by_csv": '"' + DARTS_V2.replace("'", '""') + '"',
        "escaped": DARTS_V2.replace("'", "\\'"),
        "comma_behind": f"{DARTS_V2},",
        "blanks_of_a_page": DARTS_V2.replace(", ", ",\u00a0"),
        "signs": re.sub(r", (\d)\)", r", +\1)", DARTS_V2),
        "empty_fields": DARTS_V2.replace("normal=", "connects=None, normal=", 1),
    }


@pytest.mark.parametrize("form", printed_forms())
def test_genotypes_are_read_as_programs_print_them(form):
    text = printed_forms()[form]
    np.testing.assert_array_equal(space.parse_arch(text), space.parse_arch(DARTS_V2))


@pytest.mark.parametrize(
    "text",
    [
        *("(" * 300, "-" * 19_000 + "1", "[" * 100 + "]" * 100, "x" * 30_000),
        *(
            "Genotype(**{})",
            "Genotype(" + "9" * 5000 + ")",
            "\0",
            "a = b = 1; c",
            "",
        ),
        *("range(10**9)", "range(1000000000)", "{1: 2}", "{**{}}", "dict([1])"),
        *("range(-(2**64), 2**64)", "range(0, 10000000000000000000000)"),
        DARTS_V2.replace(", 0)", f", 0x{'f' * 9000})", 1),
        DARTS_V2.replace(", 0)", ", 4294967296)", 1),
        *("Genotype(*[1])", "lambda: 0", "dict(5)", "Genotype()", "'\\d'", "f'{1}'"),
    ],
)
def test_any_other_text_is_refused_in_one_short_line(text):
    with pytest.raises(errors.UnknownArchitecture) as caught:
        space.parse_arch(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_two_cells_do_not_fit_the_shared_space():
    with pytest.raises(errors.UnknownArchitecture, match="use the space 'darts'"):
        spaces.make("darts_shared").parse_arch(DARTS_V2)
