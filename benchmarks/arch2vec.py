"""arch2vec against the same arithmetic in PyTorch, and against networkx.

python benchmarks/arch2vec.py [--config=NAME]

training: steps of the released variant on NAS-Bench-201, in batches of 32: gather the
batch, latent noise and dropout, loss, gradients, clipping at norm 5, Adam. Running
moments, gradients and loss of both are compared without noise before the timing.

encoding: posterior means of all 15,625 cells; PyTorch takes batches of 256.

generation: 10,000 latent points become graphs, which are checked by the published rule
and the strict one and counted up to isomorphism. The reference decodes point by point,
checks with plain loops and hashes valid graphs with networkx; it is timed on a tenth of
the points. The model has seen two epochs: nearly all points are valid by the published
rule, some 80 % after a whole training, so here more graphs are hashed. Both must agree
on every graph.

jraph_training, jraph_encoding: on each space, products with padded adjacency matrices
(what the library does) against sums over the edges of a `jraph.GraphsTuple` with the
same parameters.

`flops` counts the products of node states with kernels, forward and backward, so it is
a floor; `gemm_gflops` is what products of two 1024 x 1024 matrices reach between the
rounds, and `ours_gemm_fraction` the share of it.
"""

import argparse
import functools
import json
import os
import statistics
import sys
import time
import warnings

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np

from nasjax import spaces
from nasjax.core import malloc
from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import decoder, generation, model, training
from nasjax.spaces import nasbench201

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ModuleNotFoundError:
    sys.exit("torch is missing: pip install nasjax[bench] (BUILD.md: the CPU build)")

torch.set_num_threads(1)
# Hashes of directed graphs are others than before networkx 3.5: no matter here.
warnings.filterwarnings("ignore", message="The hashes produced for")

BATCH, STEPS, POINTS, PART = 32, 100, 10_000, 1_000
ROUNDS = {"training": 15, "encoding": 11, "generation": 5, "jraph": 7}
RECIPE = training.RECIPES["released"]
# Every step as in the first epoch, with noise, dropout and moments of the batch.
UNFROZEN = RECIPE._replace(freeze=False)


# ---------------------------------------------------------------- arch2vec in PyTorch


class Layer(nn.Module):
    """Messages, then two times linear, batch normalisation and ReLU."""

    def __init__(self, inputs, width):
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(()))
        self.linear1, self.inner = nn.Linear(inputs, width), nn.BatchNorm1d(width)
        self.linear2, self.outer = nn.Linear(width, width), nn.BatchNorm1d(width)

    def forward(self, nodes, edges):
        x = (1 + self.eps) * nodes + edges @ nodes
        x = functional.relu(self.inner(self.linear1(x.flatten(0, 1))))
        x = functional.relu(self.outer(self.linear2(x)))
        return x.unflatten(0, nodes.shape[:2])


class Autoencoder(nn.Module):
    """Encoder, heads and inner-product decoder."""

    def __init__(self, num_ops, settings):
        super().__init__()
        width, latent = settings.width, settings.latent
        self.dropout = settings.dropout
        sizes = [num_ops] + [width] * settings.num_layers
        self.layers = nn.ModuleList(Layer(n, width) for n in sizes[:-1])
        self.mean = nn.Linear(width, latent)
        self.log_sigma = nn.Linear(width, latent)
        self.ops = nn.Linear(latent, num_ops)

    def encode(self, nodes, adjacency):
        edges = adjacency + adjacency.transpose(1, 2)
        for layer in self.layers:
            nodes = layer(nodes, edges)
        return self.mean(nodes), self.log_sigma(nodes)

    def decode(self, z):
        return torch.sigmoid(self.ops(z)), torch.sigmoid(z @ z.transpose(-1, -2))

    def loss(self, nodes, adjacency):
        mean, log_sigma = self.encode(nodes, adjacency)
        z = mean
        if self.training:
            z = z + torch.exp(log_sigma) * torch.randn_like(mean)
            z = functional.dropout(z, self.dropout)
        ops, edges = self.decode(z)
        var = torch.exp(log_sigma) ** 2
        kl = -0.5 * (1 + 2 * log_sigma - mean**2 - var).sum(-1).mean()
        cross_entropy = functional.binary_cross_entropy
        return (
            cross_entropy(ops, nodes)
            + cross_entropy(torch.triu(edges, 1), adjacency)
            + kl / (nodes.shape[0] * nodes.shape[1])
        )


def in_torch(made, weights):
    """The PyTorch model with our weights."""
    net = Autoencoder(made.form.num_ops, made.settings)

    def put(place, value):
        place.data.copy_(torch.from_numpy(np.array(value)))

    def put_linear(place, params):
        put(place.weight, np.transpose(params["kernel"]))
        put(place.bias, params["bias"])

    layers = zip(net.layers, weights.encoder, weights.statistics, strict=True)
    for layer, params, moments in layers:
        put(layer.eps, params["eps"])
        for name in ("linear1", "linear2"):
            put_linear(getattr(layer, name), params[name])
        for name in ("inner", "outer"):
            norm = getattr(layer, name)
            put(norm.weight, params[name]["scale"])
            put(norm.bias, params[name]["bias"])
            put(norm.running_mean, moments[name]["mean"])
            put(norm.running_var, moments[name]["var"])
    put_linear(net.mean, weights.heads["mean"])
    put_linear(net.log_sigma, weights.heads["log_sigma"])
    put_linear(net.ops, weights.decoder["ops"])
    return net


# --------------------------------------------------- validity and uniqueness, plainly


EDGES = {(0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 6), (3, 6), (4, 7), (5, 7), (6, 7)}
LAST = len(nasbench201.GRAPH_OP_NAMES) - 1


def judge(net, points):
    """Of each point the labels and edges; counts as in `generation.Generation`."""
    graphs, passed, cells, hashes = [], [], set(), set()
    for z in points:
        with torch.no_grad():
            ops, edges = net.decode(z)
        labels = ops.argmax(-1).tolist()
        found = torch.triu(edges > 0.5, 1).nonzero().tolist()
        pairs = sorted(map(tuple, found))
        graphs.append((tuple(labels), tuple(pairs)))
        ends = labels[0] == 0 and labels[-1] == LAST
        if not (ends and all(0 < label < LAST for label in labels[2:-1])):
            continue
        passed.append(graphs[-1])
        graph = nx.DiGraph(pairs)
        graph.add_nodes_from((n, {"op": str(op)}) for n, op in enumerate(labels))
        hashes.add(nx.weisfeiler_lehman_graph_hash(graph, node_attr="op"))
        if set(pairs) == EDGES and 0 < labels[1] < LAST:
            cells.add(graphs[-1])
    strict = sum(graph in cells for graph in passed)
    return graphs, (len(passed), strict, len(set(passed)), len(cells), len(hashes))


# -------------------------------------------------------------------------- measuring


def cpu_seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def measure(config, ours, reference, rounds, *, check=lambda: None, flops=0, **facts):
    """A line: `ours` and `reference` interleaved, after a run of each and a check.

    A large product takes part where `flops` of ours are given. Facts that are functions
    are given our median seconds.
    """
    first = cpu_seconds(ours)
    compile_seconds = first - cpu_seconds(ours)
    reference()
    check()
    times, products = [], []
    for _ in range(rounds):
        times.append((cpu_seconds(ours), cpu_seconds(reference)))
        products.append(cpu_seconds(multiply) if flops else 0)
    ours_seconds, reference_seconds = map(statistics.median, zip(*times, strict=True))
    scale = facts.pop("reference_scale", 1)
    known = {
        "benchmark": "arch2vec",
        "config": config,
        "ours_cpu_s": ours_seconds,
        "reference_cpu_s": reference_seconds * scale,
        "ratio": statistics.median(a / (b * scale) for a, b in times),
        "compile_cpu_s": compile_seconds,
    }
    found = {k: v(ours_seconds) if callable(v) else v for k, v in facts.items()}
    if flops:
        rate, peak = flops / ours_seconds, GEMM_FLOPS / statistics.median(products)
        found.update(
            flops=flops, gemm_gflops=peak / 1e9, ours_gemm_fraction=rate / peak
        )
    print(json.dumps({**known, **found}), flush=True)


def multiply(size=1024, times=4):
    x = jnp.ones((size, size))
    for _ in range(times):
        x = jnp.matmul(x, x / size)
    x.block_until_ready()


GEMM_FLOPS = 4 * 2 * 1024**3


def forward_flops(made):
    """Of one graph's products with kernels."""
    width, settings = made.settings.width, made.settings
    per_node = made.form.num_ops * width + (2 * settings.num_layers - 1) * width**2
    per_node += 2 * width * settings.latent + settings.latent * made.form.num_ops
    return 2 * made.form.num_nodes * per_node


def released(space, count):
    """The released model, its first weights, and random graphs to store."""
    made = model.make(space, model.variant("released"))
    keys = jax.random.split(jax.random.key(1), count)
    archs = jax.jit(jax.vmap(spaces.make(space).sample))(keys)
    weights = jax.jit(made.init)(jax.random.key(0))
    return made, weights, training.to_graphs(made.form, archs)


def tensors(made, graphs):
    """Nodes and adjacency matrices for PyTorch."""
    read = training.inputs(made.form, graphs)
    return [torch.from_numpy(np.array(x)) for x in (read.nodes, read.adjacency)]


def epochs(made, graphs):
    """A function that trains for an epoch, and the state that it moves on."""
    states = [training.start(jax.random.key(0), made, UNFROZEN)]

    def run():
        key = jax.random.key(2)
        states[0], _ = training.run_epoch(key, made, UNFROZEN, states[0], graphs, 10)
        jax.block_until_ready(states[0])

    return run, states


# --------------------------------------------------------------------- configurations


def compare(made, weights, graphs, net):
    """Loss, gradients and a training pass without noise of both."""
    few = jax.tree.map(lambda leaf: leaf[:BATCH], graphs)
    read = training.inputs(made.form, few)
    nodes, adjacency = tensors(made, few)

    def loss(encoder):
        there = weights.replace(encoder=encoder)
        return made.loss(jax.random.key(0), there, read, False)[0].total

    value, slope = jax.jit(jax.value_and_grad(loss))(weights.encoder)
    net.eval()
    expected = net.loss(nodes, adjacency)
    expected.backward()
    pairs = [(value, expected.item())]
    for layer, params in zip(net.layers, slope, strict=True):
        pairs.append((params["linear2"]["kernel"].T, layer.linear2.weight.grad))
        pairs.append((params["eps"], layer.eps.grad))
    net.zero_grad()
    net.train()
    posterior, statistics = made.encode(weights, read, True)
    mean, _ = net.encode(nodes, adjacency)
    pairs.append((posterior.mean, mean.detach()))
    for layer, moments in zip(net.layers, statistics, strict=True):
        pairs.append((moments["outer"]["var"], layer.outer.running_var))
    for ours, theirs in pairs:
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        assert np.abs(ours - theirs).max() <= 1e-4 * max(np.abs(theirs).max(), 1e-3)


def time_training():
    made, weights, graphs = released("nasbench201", STEPS * BATCH)
    net = in_torch(made, weights)
    compare(made, weights, graphs, net)
    run, _ = epochs(made, graphs)
    nodes, adjacency = tensors(made, graphs)
    adam = torch.optim.Adam(net.parameters(), lr=RECIPE.learning_rate)

    def reference():
        for rows in torch.randperm(len(nodes)).split(BATCH):
            adam.zero_grad()
            net.loss(nodes[rows], adjacency[rows]).backward()
            nn.utils.clip_grad_norm_(net.parameters(), RECIPE.clip_norm)
            adam.step()

    measure(
        "training",
        run,
        reference,
        ROUNDS["training"],
        steps=STEPS,
        step_ms=lambda seconds: 1e3 * seconds / STEPS,
        flops=3 * STEPS * BATCH * forward_flops(made),
    )


def time_encoding():
    made, weights, _ = released("nasbench201", 1)
    graphs = training.to_graphs(made.form, nasbench201.enumerate_cells())
    net = in_torch(made, weights).eval()
    nodes, adjacency = tensors(made, graphs)
    found = {}

    def ours():
        found["ours"] = training.posterior_means(made, weights, graphs)

    def reference():
        parts = zip(nodes.split(256), adjacency.split(256), strict=True)
        with torch.no_grad():
            found["reference"] = torch.cat([net.encode(*part)[0] for part in parts])

    def check():
        assert np.abs(found["ours"] - found["reference"].numpy()).max() <= 1e-4

    count = len(nodes)
    measure(
        "encoding",
        ours,
        reference,
        ROUNDS["encoding"],
        check=check,
        graphs=count,
        graphs_per_cpu_second=lambda seconds: count / seconds,
        flops=count * forward_flops(made),
    )


def time_generation():
    made, _, graphs = released("nasbench201", 14_080)
    run, states = epochs(made, graphs)
    run()
    run()
    weights = states[0].weights
    mean, std = states[0].moments
    noise = jax.random.normal(jax.random.key(3), (POINTS, *mean.shape))
    z = mean[None] + std[None] * noise
    points = torch.from_numpy(np.array(z))
    net = in_torch(made, weights).eval()

    found = {}

    @jax.jit
    def decode_and_judge(weights, z):
        decoded = decoder.most_likely(made.form, made.decode(weights, z))
        return decoded, generation.evaluate(decoded, made.form.space)

    def ours():
        found["ours"] = jax.block_until_ready(decode_and_judge(weights, z))

    graphs, expected = judge(net, points)
    passed, strict, labelled, cells, hashes = expected

    def check():
        decoded, counts = found["ours"]
        adjacency = np.asarray(decoded.adjacency)
        for ops, matrix, (labels, pairs) in zip(
            decoded.ops.tolist(), adjacency, graphs, strict=True
        ):
            assert tuple(ops) == labels
            assert tuple(map(tuple, np.argwhere(matrix).tolist())) == pairs
        assert (int(counts.num_released), int(counts.num_strict)) == (passed, strict)
        assert round(float(counts.uniqueness) * passed) == labelled
        assert round(float(counts.uniqueness_strict) * strict) == cells

    measure(
        "generation",
        ours,
        lambda: judge(net, points[:PART]),
        ROUNDS["generation"],
        check=check,
        reference_scale=POINTS / PART,
        points=POINTS,
        validity_released=passed / POINTS,
        validity_strict=strict / POINTS,
        uniqueness_by_hash=hashes / max(passed, 1),
    )


def time_jraph(kind):
    for space in graph_inputs.SPECS:
        dense, weights, graphs = released(space, 1_600)
        other = model.make(space, dense.settings._replace(messages="jraph"))
        if kind == "training":
            ours, reference = (epochs(made, graphs)[0] for made in (dense, other))
        else:
            ours, reference = (
                functools.partial(training.posterior_means, made, weights, graphs)
                for made in (dense, other)
            )

        def check(made=(dense, other), weights=weights, graphs=graphs):
            one, same = (
                training.posterior_means(each, weights, graphs) for each in made
            )
            assert np.abs(one - same).max() <= 1e-4

        measure(
            f"jraph_{kind}_{space}",
            ours,
            reference,
            ROUNDS["jraph"],
            check=check,
            graphs=len(graphs.ops),
        )


CONFIGS = {
    "training": time_training,
    "encoding": time_encoding,
    "generation": time_generation,
    "jraph_training": lambda: time_jraph("training"),
    "jraph_encoding": lambda: time_jraph("encoding"),
}


def main():
    malloc.keep_memory()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, action="append")
    for name in parser.parse_args().config or CONFIGS:
        CONFIGS[name]()


if __name__ == "__main__":
    main()
