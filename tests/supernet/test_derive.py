"""Liveness against reachability in a plain graph, and the genotype's content."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import supernet_liveness as reference
from reference import supernet_small as small

from nasjax.supernet import derive, masking

NETS = {
    "type": small.network(num_cells=4, reductions=(1, 3)),
    "cell": small.network(num_cells=3, arch_sharing="cell", reductions=()),
    "all": small.network(
        num_cells=2,
        arch_sharing="all",
        num_steps=3,
        operations=("skip_connect", "none"),
    ),
}


def ones(net):
    return small.random_masks(
        np.random.default_rng(0), net, operations=1.1, edges=1.1, weights=1.1
    )


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), keep=st.floats(0, 1), edges=st.floats(0, 1))
def test_liveness_is_reachability(net, seed, keep, edges):
    rng = np.random.default_rng(seed)
    masks = small.random_masks(rng, net, operations=keep, edges=edges)
    check_liveness(net, masks)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_without_masks_all_but_none_lives(net):
    check_liveness(net, None)
    for cell in derive.liveness(net):
        assert cell.used and cell.nodes.all() and all(cell.inputs)
        lives = [name != "none" for name in net.operations]
        assert (cell.operations == np.array(lives)).all()


def check_liveness(net, masks):
    names, vertices = reference.alive(net, masks)
    for k, cell in enumerate(derive.liveness(net, masks)):
        for (e, o), live in np.ndenumerate(cell.operations):
            assert live == ((k, e, o) in names)
        for i, live in enumerate(cell.nodes):
            assert live == ((k, 2 + i) in vertices)
        for i, live in enumerate(cell.inputs):
            assert live == ((k, "preprocess", i) in names)
        readers = {(j, "preprocess", i) for i, j in enumerate((k + 2, k + 1))}
        assert cell.used == (bool(readers & names) or k == net.num_cells - 1)


def test_a_dead_cell_starves_what_it_feeds_alone():
    net = NETS["cell"]
    masks = ones(net)
    masks.beta[0] = 0  # cell 0 has no edges; cell 1 still reads the stem
    cells = derive.liveness(net, masks)
    assert not cells[0].nodes.any() and not cells[0].used
    assert cells[1].inputs == (True, False) and cells[1].nodes.all()
    assert cells[2].inputs == (False, True)  # input 0 is cell 0
    first_input = [e for e, (source, _) in enumerate(net.edges) if source == 0]
    assert not cells[2].operations[first_input].any()


def test_dead_nodes_are_named():
    net = NETS["type"]
    masks = ones(net)
    assert derive.dead_nodes(net, masks) == []
    into_last = [e for e, (_, target) in enumerate(net.edges) if target == 3]
    masks.beta[1, into_last] = 0  # reduction cells
    assert derive.dead_nodes(net, masks) == ["cell 1 node 1", "cell 3 node 1"]


def test_genotype_lists_live_operations_with_their_weights():
    net = small.network(operations=("sep_conv_3x3", "skip_connect"))
    assert net.edges == ((0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    log2, log3 = np.log(2.0), np.log(3.0)
    # Edges into node 2 weigh 1/3 and 2/3, those into node 3 1/4, 1/4 and 1/2.
    arch = {
        "alpha": np.tile([0.0, log3], (2, 5, 1)).astype(np.float32),  # 1/4 3/4
        "beta": np.tile([0.0, 0.0, log2, 0.0, log2], (2, 1)).astype(np.float32),
    }
    masks = ones(net)
    masks.alpha[0, 1, 0] = 0  # normal cell: 0>3 keeps the skip alone
    masks.beta[0, [3]] = 0  # and loses 1>3
    masks.beta[1, [0, 2]] = 0  # reduction: node 2 has no edge, so 2>3 is dead
    result = derive.genotype(net, arch, masks)
    assert json.loads(json.dumps(result)) == result
    assert result["format"] == derive.FORMAT
    assert result["operations"] == list(net.operations)
    normal, reduce = result["cells"]["normal"], result["cells"]["reduce"]
    both = [
        {"name": "sep_conv_3x3", "weight": pytest.approx(0.25)},
        {"name": "skip_connect", "weight": pytest.approx(0.75)},
    ]
    assert normal["edges"] == [
        edge(0, 2, 1 / 3, both),
        edge(0, 3, 1 / 4, both[1:]),
        edge(1, 2, 2 / 3, both),
        edge(2, 3, 1 / 2, both),
    ]
    assert reduce["edges"] == [edge(0, 3, 1 / 4, both), edge(1, 3, 1 / 4, both)]
    for cell in (normal, reduce):
        assert cell["num_nodes"] == 5 and cell["concat"] == [2, 3]
        assert cell["inputs"] == ["c_{k-2}", "c_{k-1}"]


def edge(source, target, weight, operations):
    return {
        "source": source,
        "target": target,
        "weight": pytest.approx(weight),
        "operations": operations,
    }


@pytest.mark.parametrize(
    "net, names",
    [
        (NETS["type"], {"normal", "reduce"}),
        (small.network(reductions=()), {"normal"}),
        (NETS["cell"], {"cell_0", "cell_1", "cell_2"}),
        (NETS["all"], {"cell"}),
    ],
)
def test_edge_importance_sums_to_one_per_node(net, names):
    arch = small.random_arch(np.random.default_rng(1), net, np.float32)
    importance = derive.edge_importance(net, arch)
    assert (
        set(importance) == names == set(derive.genotype(net, arch, ones(net))["cells"])
    )
    for weights in importance.values():
        assert len(weights) == len(net.edges)
        for node in range(2, 2 + net.num_steps):
            into = [w for key, w in weights.items() if key.endswith(f">{node}")]
            assert len(into) == node and sum(into) == pytest.approx(1, rel=1e-5)


def test_alive_summary_counts_fractions():
    net = NETS["type"]
    masks = ones(net)
    assert set(derive.alive_summary(net, masks).values()) == {1.0}
    masks.alpha[:, :, 0] = 0  # one operation of every edge
    masks.beta[:, -1] = 0  # the last edge, which feeds the last node, of every cell
    kept = {"stem/conv1": np.array([1, 0, 0, 1.0]), "other": np.array([1, 1, 1, 0.0])}
    masks = masking.Masks(masks.alpha, masks.beta, kept)
    assert derive.alive_summary(net, masks) == pytest.approx(
        {"operations_alive": 0.64, "edges_alive": 0.8, "weights_alive": 5 / 8}
    )
