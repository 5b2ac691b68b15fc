"""CATE against the same arithmetic in PyTorch, and pairs against a plain window.

python benchmarks/cate.py [--config=NAME]

training_nasbench101, training_darts: steps of 1,024 pairs at true size (12 encoder and
24 cross-attention layers of width 64) with dropout and AdamW, from pairs of rows on:
masks, corruption, loss, gradients. Ours takes micro-batches of 128 pairs; PyTorch too,
and in `training_nasbench101_batch` the whole batch at once, as the published script
does. States, loss and gradients of both are compared without dropout before the timing.

encoding_nasbench101, encoding_darts: encodings of drawn architectures, each of them
encoded; the reference makes its masks as the published code does, by Floyd's algorithm
in Python, in batches of 1,024.

table: all of NAS-Bench-101. Ours encodes one cell of each class that the encoder can
tell apart and finds the classes; the reference encodes every cell and is timed on a
part of them.

pairs: two partners for each of 20,000 cells, windows included, against a sliding window
in plain Python. pairs_all: for all 402,442 training cells; the reference slides over
all rows but draws partners of a part of them only, so its time is a lower bound.
"""

import argparse
import functools
import json
import os
import random
import statistics
import sys
import time
from typing import NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import numpy as np

from nasjax import spaces
from nasjax.core import batching, malloc
from nasjax.encoders.cate import (
    model,
    objective,
    pairs,
    pretraining,
    settings,
    training,
)
from nasjax.spaces import nasbench101_cells

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ModuleNotFoundError:
    sys.exit("torch is missing: pip install nasjax[bench] (BUILD.md: the CPU build)")

torch.set_num_threads(1)
REFERENCE_BATCH = 1024


class Size(NamedTuple):
    """Of what is timed; a test makes it smaller."""

    rounds: int = 5
    batch: int = 1024
    micro: int = 128
    encoded: int = 2048
    table: int = 0  # cells; 0: all
    table_part: int = 4096
    pairs: int = 20_000
    pairs_all: int = 402_442
    pairs_part: int = 400
    changes: tuple[tuple[str, int], ...] = ()


# -------------------------------------------------------------------- CATE in PyTorch


class Block(nn.Module):
    """A pre-norm block; masked scores are -1e9."""

    def __init__(self, width, num_heads, hidden, dropout):
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm, self.hidden_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.attention_out = (
            nn.Linear(width, width) for _ in range(4)
        )
        self.hidden = nn.Linear(width, hidden)
        self.hidden_out = nn.Linear(hidden, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, mask):
        shape = (*x.shape[:2], self.num_heads, -1)
        normal = self.attention_norm(x)
        query, key, value = (
            part(normal).view(shape).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        weights = torch.softmax(scores.masked_fill(~mask, -1e9), -1)
        read = (self.drop(weights) @ value).transpose(1, 2).reshape(x.shape)
        x = x + self.drop(self.attention_out(read))
        hidden = self.drop(torch.relu(self.hidden(self.hidden_norm(x))))
        return x + self.drop(self.hidden_out(hidden))


class Pair(nn.Module):
    """Shared encoder, cross-attention encoder and head."""

    def __init__(self, made):
        super().__init__()
        given, width = made.settings, made.settings.width
        self.width = width
        self.ops = nn.Parameter(torch.zeros(made.tokens.size, width))
        self.segments = nn.Parameter(torch.zeros(2, width))

        def stack(count, hidden):
            each = (width, given.num_heads, hidden, given.dropout)
            return nn.ModuleList(Block(*each) for _ in range(count))

        self.encoder = stack(given.num_layers, given.hidden)
        self.cross = stack(given.num_cross_layers, given.cross_hidden)
        self.encoder_norm, self.cross_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.head_hidden = nn.Linear(width, width)
        self.head_logits = nn.Linear(width, made.form.num_ops)
        self.drop = nn.Dropout(given.dropout)

    def encode(self, tokens, mask):
        x = self.drop(functional.embedding(tokens, self.ops) * self.width**0.5)
        for block in self.encoder:
            x = block(x, mask[:, None])
        return self.encoder_norm(x)

    def forward(self, tokens, mask, real):
        both = self.encode(tokens, mask).chunk(2)
        segments = self.segments * self.width**0.5
        joint = torch.cat([x + s for x, s in zip(both, segments, strict=True)], 1)
        real = torch.cat(real.chunk(2), 1)
        visible = (real[:, :, None] & real[:, None])[:, None]
        x = self.drop(joint)
        for block in self.cross:
            x = block(x, visible)
        hidden = self.drop(torch.tanh(self.head_hidden(self.cross_norm(x))))
        return self.head_logits(hidden)


def in_torch(made, weights):
    """The PyTorch model with our weights."""
    net = Pair(made)

    def put(place, value):
        place.data.copy_(torch.from_numpy(np.array(value)))

    def put_linear(place, params):
        put(place.weight, np.transpose(params["kernel"]))
        put(place.bias, params["bias"])

    def put_norm(place, params):
        put(place.weight, params["scale"])
        put(place.bias, params["bias"])

    for name in ("encoder", "cross"):
        layers = weights[name]["layers"]
        for index, block in enumerate(getattr(net, name)):
            layer = jax.tree.map(lambda leaf, i=index: np.array(leaf[i]), layers)
            for part in ("attention_norm", "hidden_norm"):
                put_norm(getattr(block, part), layer[part])
            for part in ("attention_out", "hidden", "hidden_out"):
                put_linear(getattr(block, part), layer[part])
            kernels = np.split(layer["qkv"]["kernel"], 3, axis=1)
            biases = np.split(layer["qkv"]["bias"], 3)
            for place, kernel, bias in zip(
                (block.query, block.key, block.value), kernels, biases, strict=True
            ):
                put_linear(place, {"kernel": kernel, "bias": bias})
        put_norm(getattr(net, f"{name}_norm"), weights[name]["norm"])
    put(net.ops, weights["ops"])
    put(net.segments, weights["segments"])
    put_linear(net.head_hidden, weights["head"]["hidden"])
    put_linear(net.head_logits, weights["head"]["logits"])
    return net


def floyd(adjacency, size):
    """The closure as the published code computes it, one graph at a time."""
    reached = adjacency.tolist()
    for k in range(size):
        for i in range(size):
            if reached[i][k]:
                for j in range(size):
                    if reached[k][j]:
                        reached[i][j] = 1
    return reached


def masks_of(graphs):
    """What rows attend, bool `[B, N, N]`: themselves and what they depend on."""
    size = graphs.ops.shape[1]
    closures = [floyd(each, size) for each in np.asarray(graphs.adjacency)]
    reached = torch.tensor(closures, dtype=torch.bool)
    return reached.transpose(1, 2) | torch.eye(size, dtype=torch.bool)


def tokens_of(made, graphs):
    """Ids `[B, N]` and what is real."""
    ids = torch.from_numpy(np.array(graphs.ops, np.int64))
    return torch.where(ids < 0, made.tokens.pad, ids), ids >= 0


# -------------------------------------------------------------------------- measuring


def cpu_seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def measure(config, ours, reference, rounds, *, check=lambda: None, scale=1.0, **facts):
    """A line: `ours` and `reference` interleaved, after a run of each and a check.

    Args:
      config: its name.
      ours: a function.
      reference: a function.
      rounds: how often both run.
      check: of what both have found.
      scale: of the reference, which does a part of the work.
      facts: of the line; functions are given our median seconds.
    """
    first = cpu_seconds(ours)
    compile_seconds = first - cpu_seconds(ours)
    reference()
    check()
    times = [(cpu_seconds(ours), scale * cpu_seconds(reference)) for _ in range(rounds)]
    ours_seconds, reference_seconds = map(statistics.median, zip(*times, strict=True))
    known = {
        "benchmark": "cate",
        "config": config,
        "ours_cpu_s": ours_seconds,
        "reference_cpu_s": reference_seconds,
        "ratio": statistics.median(a / b for a, b in times),
        "compile_cpu_s": compile_seconds,
    }
    found = {k: v(ours_seconds) if callable(v) else v for k, v in facts.items()}
    print(json.dumps({**known, **found}), flush=True)


def drawn(space, count):
    """Random architectures int32 `[count, G]`."""
    keys = jax.random.split(jax.random.key(1), count)
    return np.asarray(jax.jit(jax.vmap(spaces.make(space).sample))(keys))


def made_of(space, size):
    """The thesis' model, its first weights, and the same in PyTorch."""
    made = model.make(space, settings.variant("thesis", **dict(size.changes)))
    weights = jax.jit(made.init)(jax.random.key(0))
    return made, weights, in_torch(made, weights)


# --------------------------------------------------------------------- configurations


def compare(made, weights, net, graphs):
    """States, logits and gradients of the same corrupted pairs without dropout."""
    key = jax.random.key(4)
    inputs = model.read(made, graphs.ops, graphs.adjacency)
    inputs, labels = objective.corrupt(key, made, inputs)

    def loss(weights):
        logits = made.logits(weights, inputs)
        return objective.terms(made, logits, labels).loss, logits

    slopes, logits = jax.jit(jax.grad(loss, has_aux=True))(weights)
    net.eval()
    tokens = torch.from_numpy(np.array(inputs.tokens.T, np.int64))
    _, real = tokens_of(made, graphs)
    found = net(tokens, masks_of(graphs), real)
    chosen = torch.from_numpy(np.array(labels.chosen.T))
    ids = torch.from_numpy(np.array(labels.ids.T, np.int64))
    functional.cross_entropy(found[chosen], ids[chosen], reduction="sum").backward()
    kernel = slopes["cross"]["layers"]["attention_out"]["kernel"][0]
    visible = torch.cat(real.chunk(2), 1).numpy()
    compared = [
        (np.asarray(logits.transpose(2, 1, 0))[visible], found.detach()[visible]),
        (slopes["ops"], net.ops.grad),
        (np.transpose(kernel), net.cross[0].attention_out.weight.grad),
    ]
    for ours, theirs in compared:
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        assert np.abs(ours - theirs).max() <= 2e-4 * max(np.abs(theirs).max(), 1e-3)
    net.zero_grad()
    net.train()


def reference_step(made, net, optimizer, graphs, batch, micro):
    """A function that takes a step on the pairs of some rows."""
    settings_ = made.settings
    rng = np.random.default_rng(0)

    def corrupt(tokens, real):
        chosen = (torch.rand(tokens.shape) < settings_.corruption) & real
        masked = torch.rand(tokens.shape) < objective.MASKED
        others = torch.randint(made.form.num_ops, tokens.shape)
        replaced = torch.where(masked, made.tokens.mask, others)
        return torch.where(chosen, replaced, tokens), chosen

    def step():
        optimizer.zero_grad()
        total = 0
        for _ in range(batch // micro):
            rows = rng.integers(0, len(graphs.ops), 2 * micro)
            part = jax.tree.map(lambda leaf, r=rows: leaf[r], graphs)
            tokens, real = tokens_of(made, part)
            corrupted, chosen = corrupt(tokens, real)
            logits = net(corrupted, masks_of(part), real)
            chosen = torch.cat(chosen.chunk(2), 1)
            ids = torch.cat(tokens.chunk(2), 1)[chosen]
            loss = functional.cross_entropy(logits[chosen], ids, reduction="sum")
            loss.backward()
            total += len(ids)
        for parameter in net.parameters():
            parameter.grad /= total
        optimizer.step()

    return step


def time_training(space, size, *, whole=False):
    made, weights, net = made_of(space, size)
    changes = {**dict(size.changes), "micro_batch": size.micro}
    _, recipe = pretraining.configure(
        space, "thesis", batch_size=size.batch, changes=changes
    )
    archs = drawn(space, 4 * size.batch)
    data = pretraining.divide(space, archs, recipe).train
    recipe = recipe._replace(parts=training.num_steps(recipe, data))
    graphs = jax.tree.map(np.asarray, data.graphs)
    compare(made, weights, net, jax.tree.map(lambda leaf: leaf[: 2 * 16], data.graphs))
    states = [training.start(jax.random.key(0), made)]

    def ours():
        states[0], _ = training.run_part(
            jax.random.key(2), made, recipe, states[0], data, 100
        )
        jax.block_until_ready(states[0])

    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
    micro = size.batch if whole else size.micro
    reference = reference_step(made, net, optimizer, graphs, size.batch, micro)
    name = "nasbench101" if space == "nasbench101" else "darts"
    measure(
        f"training_{name}" + ("_batch" if whole else ""),
        ours,
        reference,
        size.rounds,
        pairs=size.batch,
        micro_batch=size.micro,
        reference_micro_batch=micro,
        pairs_per_cpu_second=lambda seconds: size.batch / seconds,
    )


def encode_in_torch(made, net, graphs):
    """Encodings `[M, D]` at the output nodes."""
    found = []
    with torch.no_grad():
        size = min(REFERENCE_BATCH, len(graphs.ops))
        for part, count in batching.iterate(graphs, size):
            tokens, real = tokens_of(made, part)
            states = net.encode(tokens, masks_of(part))
            last = real.sum(1) - 1
            found.append(states[torch.arange(len(last)), last][:count])
    return torch.cat(found).numpy()


def encode(made, weights, graphs):
    """Every graph, whether or not the encoder has seen one like it."""
    apply = functools.partial(pretraining.embed_graphs, weights, model=made)
    return batching.map_batched(apply, graphs, pretraining.CHUNK)


def time_encoding(space, size):
    made, weights, net = made_of(space, size)
    net.eval()
    graphs = pretraining.to_graphs(made.form, drawn(space, size.encoded))
    graphs = jax.tree.map(np.asarray, graphs)
    found = {}

    def ours():
        found["ours"] = encode(made, weights, graphs)

    def reference():
        found["reference"] = encode_in_torch(made, net, graphs)

    def check():
        assert np.abs(found["ours"] - found["reference"]).max() <= 1e-4

    name = "nasbench101" if space == "nasbench101" else "darts"
    measure(
        f"encoding_{name}",
        ours,
        reference,
        size.rounds,
        check=check,
        archs=size.encoded,
        encodings_per_cpu_second=lambda seconds: size.encoded / seconds,
    )


def time_table(size):
    made, weights, net = made_of("nasbench101", size)
    net.eval()
    cells = nasbench101_cells.cells().archs
    cells = cells[: size.table or None]
    part = np.random.default_rng(0).permutation(len(cells))[: size.table_part]
    graphs = pretraining.to_graphs(made.form, cells[part])
    graphs = jax.tree.map(np.asarray, graphs)
    found = {}

    def ours():
        found["ours"] = pretraining.embeddings(made, weights, cells)

    def reference():
        found["reference"] = encode_in_torch(made, net, graphs)

    def check():
        assert np.abs(found["ours"][part] - found["reference"]).max() <= 1e-4

    measure(
        "table",
        ours,
        reference,
        size.rounds,
        check=check,
        scale=len(cells) / len(part),
        cells=len(cells),
        reference_cells=len(part),
    )


def plain_pairs(values, delta, partners, rng, rows):
    """Partners of some rows by a window that slides over the sorted list."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found, first, last = [], 0, 0
    for place in range(len(order)):
        value = values[order[place]]
        while values[order[first]] <= value - delta:
            first += 1
        while last < len(order) and values[order[last]] < value + delta:
            last += 1
        if place in rows:
            near = [order[i] for i in range(first, last) if i != place]
            chosen = rng.sample(near, min(partners, len(near)))
            found.append((order[place], chosen))
    return found


def time_pairs(size, *, everything=False):
    cells = nasbench101_cells.cells().archs
    count = min(size.pairs_all if everything else size.pairs, len(cells))
    chosen = np.random.default_rng(0).permutation(len(cells))[:count]
    values = pairs.attributes("nasbench101", cells[chosen])
    attribute = pairs.ATTRIBUTES["nasbench101"]
    draw = jax.jit(pairs.draw, static_argnums=2)
    plain, rng = values.tolist(), random.Random(0)
    stride = max(count // size.pairs_part, 1) if everything else 1
    rows, found = range(0, count, stride), {}

    def ours():
        windows = pairs.windows(values, attribute.delta)
        drawn = draw(jax.random.key(0), windows, attribute.partners)
        found["ours"] = jax.block_until_ready(drawn)

    def reference():
        known = plain, attribute.delta, attribute.partners
        found["reference"] = plain_pairs(*known, rng, rows)

    def check():
        order, partners = map(np.asarray, found["ours"])
        gaps = np.abs(values[order][:, None] - values[partners])[partners >= 0]
        assert gaps.max() < attribute.delta
        counts = dict(zip(order.tolist(), (partners >= 0).sum(1).tolist(), strict=True))
        assert all(counts[row] == len(near) for row, near in found["reference"])

    measure(
        "pairs_all" if everything else "pairs",
        ours,
        reference,
        size.rounds,
        check=check,
        cells=count,
        reference_rows=len(rows),
    )


CONFIGS = {
    "training_nasbench101": lambda size: time_training("nasbench101", size),
    "training_nasbench101_batch": lambda size: time_training(
        "nasbench101", size, whole=True
    ),
    "training_darts": lambda size: time_training("darts_shared", size),
    "encoding_nasbench101": lambda size: time_encoding("nasbench101", size),
    "encoding_darts": lambda size: time_encoding("darts_shared", size),
    "table": time_table,
    "pairs": time_pairs,
    "pairs_all": lambda size: time_pairs(size, everything=True),
}


def main():
    malloc.keep_memory()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, action="append")
    for name in parser.parse_args().config or CONFIGS:
        CONFIGS[name](Size())


if __name__ == "__main__":
    main()
