import functools
import itertools

import jax
import jax.numpy as jnp
import networkx
import numpy as np

from nasjax.networks import nasbench201 as networks
from nasjax.spaces import nasbench201
from nasjax.spaces import nasbench201_functions as module

CELLS = np.array(list(itertools.product(range(nasbench201.NUM_OPS), repeat=6)))
"""By their codes."""


@functools.cache
def live_network(cell):
    """The network of a cell as a graph, built edge by edge, without `instances`.

    Nodes: the input, each convolution's edge, each sum that is averaged, the output.
    An arrow's weight says how often one is added to the other.
    """
    edges = dict(zip(nasbench201.EDGES, cell, strict=True))
    graph = networkx.DiGraph()
    graph.add_node("x", op="x")
    values = {0: {"x": 1}}

    def apply(name, op, value):
        graph.add_node(name, op=op)
        for term, times in value.items():
            graph.add_edge(term, name, times=times)
        return name

    for node in (1, 2, 3):
        value = {}
        for source in range(node):
            op, given = edges[source, node], values[source]
            if op == nasbench201.NONE or not given:
                continue
            if op == nasbench201.AVG_POOL:
                given = {
                    apply(("pool", tuple(sorted(given.items(), key=str))), 4, given): 1
                }
            elif op != nasbench201.SKIP:
                given = {apply((source, node), op, given): 1}
            for term, times in given.items():
                value[term] = value.get(term, 0) + times
        values[node] = value
    apply("output", "output", values[3])
    used = networkx.ancestors(graph, "output") | {"output"}
    return graph.subgraph(used)


def unfolded(graph, node="output"):
    inputs = (
        (unfolded(graph, source), graph.edges[source, node]["times"])
        for source in graph.predecessors(node)
    )
    return f"{graph.nodes[node]['op']}{sorted(inputs)}"


def are_isomorphic(first, second):
    return networkx.is_isomorphic(
        live_network(first),
        live_network(second),
        node_match=lambda a, b: a["op"] == b["op"],
        edge_match=lambda a, b: a["times"] == b["times"],
    )


def test_there_are_5260_functions():
    functions = module.functions()
    assert functions.representatives.shape == (module.NUM_FUNCTIONS, 6)
    assert set(functions.of_code) == set(range(module.NUM_FUNCTIONS))
    # Representatives stand for themselves, and cost no more than their cells.
    codes = np.asarray(jax.vmap(nasbench201.code)(functions.representatives))
    np.testing.assert_array_equal(functions.of_code[codes], np.arange(len(codes)))
    convolutions = (CELLS == nasbench201.CONV_3X3).sum(axis=1)
    own = (functions.representatives == nasbench201.CONV_3X3).sum(axis=1)
    assert (own[functions.of_code] <= convolutions).all()


def test_functions_are_isomorphism_classes_by_brute_force():
    """Every cell is isomorphic to its representative, and no two of these are."""
    functions = module.functions()
    cells = [tuple(map(int, cell)) for cell in CELLS]
    representatives = [tuple(map(int, cell)) for cell in functions.representatives]
    for cell, function in zip(cells[::5], functions.of_code[::5], strict=True):
        assert are_isomorphic(cell, representatives[function]), cell
    # Isomorphic networks unfold to equal trees, so only those are compared.
    alike = {}
    for cell in representatives:
        alike.setdefault(unfolded(live_network(cell)), []).append(cell)
    for same in alike.values():
        for first, second in itertools.combinations(same, 2):
            assert not are_isomorphic(first, second), (first, second)


def test_numbers_of_stored_trainings_are_kept():
    """The first 4,930 functions have different texts; the others share one."""
    texts = []
    for cell in module.functions().representatives:
        found, output = module.instances(tuple(map(int, cell)))
        texts.append(module._sum(module._texts(found), output))
    assert len(set(texts[:4930])) == 4930
    assert set(texts[4930:]) <= set(texts[:4930])


def test_dead_edges_are_none():
    # Edge 0>1 leads nowhere when 1>2 and 1>3 are none.
    assert module.without_dead_edges((3, 1, 0, 2, 0, 4)) == (0, 1, 0, 2, 0, 4)
    # Node 1 gets nothing, so what leaves it is nothing.
    assert module.without_dead_edges((0, 1, 3, 2, 3, 4)) == (0, 1, 0, 2, 0, 4)
    assert module.without_dead_edges((3, 0, 0, 0, 0, 0)) == (0, 0, 0, 0, 0, 0)


def test_descriptions_by_hand():
    describe = module.describe
    # A skip of a sum is the sum; order does not count.
    assert describe((2, 0, 1, 3, 0, 1)) == describe((2, 0, 0, 3, 1, 0))
    assert describe((1, 2, 0, 0, 2, 0)) != describe((2, 2, 0, 0, 2, 0))
    assert describe((0, 0, 0, 0, 0, 0)) == ((-1, ()),)
    # Two convolutions are not one used twice, but two averages of one input are.
    assert describe((3, 3, 0, 0, 1, 1)) != describe((3, 0, 1, 0, 1, 1))
    assert describe((4, 4, 0, 0, 1, 1)) == describe((4, 0, 1, 0, 1, 1))


def test_cells_of_one_function_compute_the_same_numbers():
    """With one kernel everywhere, so that it does not matter which edge holds it."""
    functions = module.functions()
    skeleton = networks.Skeleton(
        channels=2, num_stages=1, num_cells=1, image_shape=(4, 4, 1), patch=1,
        affine=False,
    )  # fmt: skip
    net = networks.network(skeleton)
    params, statistics = net.init(jax.random.key(0), jnp.zeros(6, jnp.int32))
    kernel = params["cells0"]["kernel"]
    params["cells0"]["kernel"] = jnp.broadcast_to(kernel[:, :1], kernel.shape)
    images = jax.random.normal(jax.random.key(1), (4, 4, 1, 3))
    logits = jax.jit(
        lambda arch: net.apply(params, statistics, arch, images, train=False)[0]
    )
    random = np.random.default_rng(0)
    for cell in random.integers(0, nasbench201.NUM_OPS, (12, 6)):
        function = functions.of_code[int(nasbench201.code(jnp.asarray(cell)))]
        same = functions.representatives[function]
        np.testing.assert_allclose(
            logits(jnp.asarray(cell, jnp.int32)), logits(jnp.asarray(same)), atol=2e-5
        )
