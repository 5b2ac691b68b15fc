"""NAS-Bench-NLP recipes as dictionaries: rules and isomorphism with networkx."""

import networkx as nx
import numpy as np

INPUTS = {
    "activation_sigm": (1, 1),
    "activation_tanh": (1, 1),
    "activation_leaky_relu": (1, 1),
    "elementwise_sum": (2, 2),
    "elementwise_prod": (2, 2),
    "linear": (2, 3),
    "blend": (3, 3),
}


def graph(recipe):
    """Nodes with `op`; edges with `role`: the position in a blend, else 0."""
    result = nx.DiGraph()
    for name, node in recipe.items():
        state = name if name.startswith("h_new_") and name[6:].isdigit() else ""
        result.add_node(name, op=(node["op"], state))
    for name, node in recipe.items():
        for place, vertex in enumerate(node["input"]):
            if vertex not in recipe:
                result.add_node(vertex, op=(vertex, ""))
            role = place if node["op"] == "blend" else 0
            result.add_edge(vertex, name, role=role)
    return result


def isomorphic(one, other):
    def node(a, b):
        return a["op"] == b["op"]

    def edge(a, b):
        return a["role"] == b["role"]

    return nx.is_isomorphic(graph(one), graph(other), node_match=node, edge_match=edge)


def is_valid(recipe, max_nodes):
    """The rules of a recipe, base vertices counted among its nodes."""
    if len(recipe) + 4 > max_nodes:
        return False
    for node in recipe.values():
        least, most = INPUTS[node["op"]]
        if not least <= len(node["input"]) <= most:
            return False
        if len(set(node["input"])) < len(node["input"]):
            return False
        if "x" in node["input"] and node["op"] != "linear":
            return False
    cell = graph(recipe)
    states = [f"h_new_{k}" for k in range(3) if f"h_new_{k}" in recipe]
    if not states or states != [f"h_new_{k}" for k in range(len(states))]:
        return False
    base = {"x", *(f"h_prev_{k}" for k in range(len(states)))}
    needed = set(states).union(*(nx.ancestors(cell, state) for state in states))
    return nx.is_directed_acyclic_graph(cell) and needed == base | set(recipe)


def rewritten(rng, recipe):
    """The same recipe: other names, another order, inputs shuffled where allowed."""
    names = [name for name in recipe if not name.startswith("h_new_")]
    new = [f"n{i}" for i in rng.permutation(len(names))]
    renamed = dict(zip(names, new, strict=True))
    result = {}
    for i in rng.permutation(len(recipe)):
        name, node = list(recipe.items())[i]
        inputs = [renamed.get(vertex, vertex) for vertex in node["input"]]
        if node["op"] != "blend":
            inputs = [inputs[k] for k in rng.permutation(len(inputs))]
        result[renamed.get(name, name)] = {"op": node["op"], "input": inputs}
    return result


def adjacency(recipe, order):
    """0/1 `[4 + n, 4 + n]` with the base vertices first, then `order`."""
    vertices = ["x", "h_prev_0", "h_prev_1", "h_prev_2", *order]
    matrix = np.zeros((len(vertices), len(vertices)), int)
    for name, node in recipe.items():
        for vertex in node["input"]:
            matrix[vertices.index(vertex), vertices.index(name)] = 1
    return matrix
