"""One supernet training step against the same supernet in PyTorch.

python benchmarks/supernet_step.py [--config=NAME]

A step is the loss, the new BN statistics, and the gradients of all weights and of the
mixing coefficients, on random images. The reference is DARTS' supernet in PyTorch
(NCHW, one module an edge and operation) with the same weights; its loss and gradients
are compared with ours before any timing. The configuration that ends in `_lax` compares
with the same functions written with XLA's convolutions and reduction windows, which is
what a plain Flax model runs.

Each side runs in a process of its own, as it would for its user: ours keeps the memory
it frees (`nasjax.core.malloc`), PyTorch's has the C library as it comes. `minor_faults`
are page faults a step. `reference_kept_cpu_s` is PyTorch in a third process that keeps
its memory as ours does, `ratio_kept` ours against that.

`flops` counts the convolutions and the classifier, forward and backward (BN, pooling
and additions are not counted, so it is a floor); `gemm_gflops` is what a product of two
1024 x 1024 matrices reaches here, and `ours_gemm_fraction` the share of it.
"""

import argparse
import contextlib
import functools
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import formulation, malloc
from nasjax.networks import operations as ops
from nasjax.supernet import counting, network, spec

try:
    import torch
    from torch import nn
except ModuleNotFoundError:
    sys.exit("torch is missing: pip install nasjax[bench] (BUILD.md: the CPU build)")

torch.set_num_threads(1)


class Problem(NamedTuple):
    """A supernet of three cells and a batch of square images."""

    channels: int
    batch: int
    size: int


class Config(NamedTuple):
    """What one line times: `rounds` interleaved steps of ours and of the reference."""

    problem: Problem
    rounds: int
    reference: str = "torch"


CONFIGS = {
    "C8_L3_B64_8x8": Config(Problem(8, 64, 8), 15),
    "C8_L3_B64_8x8_lax": Config(Problem(8, 64, 8), 2, "lax"),
    "C8_L3_B64_16x16": Config(Problem(8, 64, 16), 7),
    "C16_L3_B16_32x32": Config(Problem(16, 16, 32), 5),
}


# ---------------------------------------------------------------- DARTS in PyTorch


def norm(channels):
    return nn.BatchNorm2d(channels, affine=False)


def pointwise(inputs, outputs, stride=1):
    return nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)


def conv_chain(channels, conv, stride):
    """ReLU, depthwise, pointwise, BN; once or twice."""
    layers = []
    for _ in range(conv.stages):
        depthwise = nn.Conv2d(
            channels,
            channels,
            conv.kernel_size,
            stride=stride,
            padding=conv.dilation * (conv.kernel_size - 1) // 2,
            dilation=conv.dilation,
            groups=channels,
            bias=False,
        )
        layers += [nn.ReLU(), depthwise, pointwise(channels, channels), norm(channels)]
        stride = 1
    return nn.Sequential(*layers)


class FactorizedReduction(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = pointwise(inputs, outputs - outputs // 2, 2)
        self.conv2 = pointwise(inputs, outputs // 2, 2)
        self.bn = norm(outputs)

    def forward(self, x):
        x = torch.relu(x)
        halves = [self.conv1(x), self.conv2(x[:, :, 1:, 1:])]
        return self.bn(torch.cat(halves, dim=1))


def make_operation(name, channels, stride):
    if name in ops.CONVOLUTIONS:
        return conv_chain(channels, ops.CONVOLUTIONS[name], stride)
    if name == ops.MAX_POOL:
        return nn.Sequential(nn.MaxPool2d(3, stride, 1), norm(channels))
    if name == ops.AVG_POOL:
        pool = nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        return nn.Sequential(pool, norm(channels))
    return nn.Identity() if stride == 1 else FactorizedReduction(channels, channels)


def preprocess(inputs, outputs):
    return nn.Sequential(nn.ReLU(), pointwise(inputs, outputs), norm(outputs))


class TorchCell(nn.Module):
    def __init__(self, net, cell):
        super().__init__()
        c, self.net = cell.channels, net
        first = FactorizedReduction if cell.after_reduction else preprocess
        self.preprocess0 = first(cell.inputs[0], c)
        self.preprocess1 = preprocess(cell.inputs[1], c)
        self.edges = nn.ModuleList(
            nn.ModuleList(
                make_operation(name, c, 2 if cell.reduction and source < 2 else 1)
                for name in net.operations
            )
            for source, _ in net.edges
        )

    def forward(self, before, last, mixing):
        states = [self.preprocess0(before), self.preprocess1(last)]
        for target in range(2, 2 + self.net.num_steps):
            states.append(
                sum(
                    self.mixed(self.net.edges.index((source, target)), x, mixing)
                    for source, x in enumerate(states)
                )
            )
        return torch.cat(states[2:], dim=1)

    def mixed(self, edge, x, mixing):
        return sum(
            weight * operation(x)
            for weight, operation in zip(mixing[edge], self.edges[edge], strict=True)
        )


class TorchSupernet(nn.Module):
    def __init__(self, net):
        super().__init__()
        width = net.stem_channels[0]
        self.net = net
        self.stem = nn.Sequential(
            nn.Conv2d(net.image_shape[-1], width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.cells = nn.ModuleList(TorchCell(net, cell) for cell in net.cells)
        features = net.num_steps * net.cells[-1].channels
        self.classifier = nn.Linear(features, net.num_classes)

    def forward(self, images, mixing):
        before = last = self.stem(images)
        for k, cell in enumerate(self.cells):
            y = cell(before, last, mixing[self.net.arch_index(k)])
            before, last = last, y
        return self.classifier(last.mean((2, 3)))


def assign(conv, kernel):
    """Copies one of our kernels into a convolution of PyTorch."""
    kernel = np.asarray(kernel)
    if conv.groups > 1:  # C, k, k
        value = kernel[:, None]
    elif kernel.ndim == 2:  # C_in, C_out
        value = kernel.T[:, :, None, None]
    else:  # k, k, C_in, C_out
        value = kernel.transpose(3, 2, 0, 1)
    assert conv.weight.shape == value.shape
    conv.weight.data = torch.tensor(np.ascontiguousarray(value))


def convolutions(module):
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def copy_weights(params, net, model):
    """Gives the PyTorch supernet our weights: stage by stage, depthwise first."""

    def copy(kernels, module):
        names = sorted(kernels, key=lambda name: (name[-1], name))
        for conv, name in zip(convolutions(module), names, strict=True):
            assign(conv, kernels[name])

    copy({"conv1": params["stem"]["conv1"]}, model.stem)
    for k, cell in enumerate(model.cells):
        ours = params["cells"][str(k)]
        for name in ("preprocess0", "preprocess1"):
            copy(ours[name], getattr(cell, name))
        for e, edge in enumerate(cell.edges):
            for name, operation in zip(net.operations, edge, strict=True):
                if convolutions(operation):
                    kernels = ours["operations"][name].items()
                    copy({key: kernel[e] for key, kernel in kernels}, operation)
    classifier = params["classifier"]
    model.classifier.weight.data = torch.tensor(np.asarray(classifier["kernel"]).T)
    model.classifier.bias.data = torch.tensor(np.asarray(classifier["bias"]))


# ------------------------------------------------------------------------ the steps


@functools.cache
def make_net(problem):
    return spec.SupernetSpec(
        num_cells=3,
        channels=problem.channels,
        num_classes=10,
        image_shape=(problem.size, problem.size, 1 if problem.size == 8 else 3),
        reductions=spec.default_reductions(3),
    )


@functools.cache
def make_operands(problem):
    """Parameters, mixing coefficients, statistics, images and labels."""
    net, rng = make_net(problem), np.random.default_rng(0)

    def draw(path, shape):
        if "bn" in path[-2].key:  # PyTorch starts there, too
            return np.full(shape, path[-1].key == "scale", np.float32)
        return rng.uniform(-0.3, 0.3, shape).astype(np.float32)

    params = jax.tree_util.tree_map_with_path(
        draw, spec.parameter_shapes(net), is_leaf=lambda x: isinstance(x, tuple)
    )
    shape = (len(net.arch_names), len(net.edges), len(net.operations))
    return (
        params,
        rng.uniform(0.0, 2.0 / len(net.operations), shape).astype(np.float32),
        network.init_statistics(net),
        rng.normal(size=(problem.batch, *net.image_shape)).astype(np.float32),
        rng.integers(net.num_classes, size=problem.batch).astype(np.int32),
    )


@functools.cache
def our_step(problem, name):
    """Our step with the named formulation, and the CPU seconds it took to compile."""
    net, operands = make_net(problem), jax.device_put(make_operands(problem))

    def loss_of(params, mixing, statistics, images, labels):
        logits, new = network.apply(
            params, statistics, mixing, images, net=net, train=True
        )
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)
        return -picked.mean(), new

    start = time.process_time()
    with formulation.use(name):
        step = jax.jit(jax.value_and_grad(loss_of, (0, 1), has_aux=True))
        step = step.lower(*operands).compile()
    seconds = time.process_time() - start

    def run():
        (loss, _), (_, d_mixing) = jax.block_until_ready(step(*operands))
        return float(loss), np.asarray(d_mixing)

    return run, seconds


def torch_step(problem):
    net = make_net(problem)
    params, mixing, _, images, labels = make_operands(problem)
    model = TorchSupernet(net)
    copy_weights(params, net, model)
    mixing = torch.tensor(mixing, requires_grad=True)
    images = torch.tensor(images.transpose(0, 3, 1, 2).copy())
    labels = torch.tensor(labels.astype(np.int64))
    leaves = [*model.parameters(), mixing]

    def run():
        loss = nn.functional.cross_entropy(model(images, mixing), labels)
        *_, d_mixing = torch.autograd.grad(loss, leaves)
        return loss.item(), d_mixing.numpy()

    return run


# ------------------------------------------------------------------------- measuring


class Sample(NamedTuple):
    """What one step cost its process."""

    cpu_seconds: float
    minor_faults: int


class Peer:
    """One side of the comparison, in a process of its own."""

    def __init__(self, name: str, side: str, keep: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, end = context.Pipe()
        process = context.Process(
            target=serve, args=(end, name, side, keep), daemon=True
        )
        process.start()
        end.close()
        self.compile_seconds, self.result = self._connection.recv()

    def step(self) -> Sample:
        self._connection.send(None)
        return self._connection.recv()


def serve(connection: Connection, name: str, side: str, keep: bool) -> None:
    """Runs a step whenever asked, until the other end is closed."""
    if keep:
        malloc.keep_memory()
    problem = CONFIGS[name].problem
    if side == "torch":
        run, compile_seconds = torch_step(problem), 0.0
    else:
        run, compile_seconds = our_step(problem, side)
    connection.send((compile_seconds, run()))
    with contextlib.suppress(EOFError):
        while True:
            connection.recv()
            connection.send(sample(run))


def minor_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def sample(run: Callable[[], Any]) -> Sample:
    start, faults = time.process_time(), minor_faults()
    run()
    return Sample(time.process_time() - start, minor_faults() - faults)


def check_equal(ours: Peer, reference: Peer) -> None:
    (loss, d_mixing), (other_loss, other) = ours.result, reference.result
    assert abs(loss - other_loss) < 1e-4, (loss, other_loss)
    error = np.linalg.norm(d_mixing - other) / np.linalg.norm(other)
    assert error < 1e-2, f"gradients of the mixing differ by {error:.1e}"


def interleaved(peers: dict[str, Peer], rounds: int) -> dict[str, list[Sample]]:
    """Steps of all peers in turn, after two that warm up their memory."""
    for peer in peers.values():
        peer.step(), peer.step()
    rows = [[peer.step() for peer in peers.values()] for _ in range(rounds)]
    return dict(zip(peers, map(list, zip(*rows, strict=True)), strict=True))


def median_ratio(ours: list[Sample], reference: list[Sample]) -> float:
    pairs = zip(ours, reference, strict=True)
    return statistics.median(a.cpu_seconds / b.cpu_seconds for a, b in pairs)


def step_flops(net, batch):
    """Forward once, backward twice; images need no gradient."""
    stem = np.prod(spec.parameter_shapes(net)["stem"]["conv1"])
    stem_macs = int(stem) * net.image_shape[0] * net.image_shape[1]
    return 2 * batch * (3 * counting.dense(net).macs - stem_macs)


@functools.cache
def gemm_gflops(side=1024):
    product = jax.jit(jnp.matmul)
    x = jnp.ones((side, side))
    product(x, x).block_until_ready()
    times = [sample(lambda: product(x, x).block_until_ready()) for _ in range(5)]
    best = min(t.cpu_seconds for t in times)
    return 2 * side**3 / best / 1e9


def measure(name: str, config: Config) -> dict[str, Any]:
    peers = {
        "ours": Peer(name, formulation.CPU, keep=True),
        "reference": Peer(name, config.reference, keep=config.reference != "torch"),
    }
    check_equal(peers["ours"], peers["reference"])
    if config.reference == "torch":
        peers["kept"] = Peer(name, config.reference, keep=True)
    samples = interleaved(peers, config.rounds)
    seconds = {
        side: statistics.median(s.cpu_seconds for s in of_side)
        for side, of_side in samples.items()
    }
    faults = {
        side: round(statistics.median(s.minor_faults for s in of_side))
        for side, of_side in samples.items()
    }
    flops = step_flops(make_net(config.problem), config.problem.batch)
    achieved = flops / seconds["ours"] / 1e9
    row = {
        "benchmark": "supernet_step",
        "config": name,
        "reference": config.reference,
        "ours_cpu_s": round(seconds["ours"], 4),
        "reference_cpu_s": round(seconds["reference"], 4),
        "ratio": round(median_ratio(samples["ours"], samples["reference"]), 3),
        "minor_faults": faults["ours"],
        "reference_minor_faults": faults["reference"],
        "compile_cpu_s": round(peers["ours"].compile_seconds, 1),
        "flops": flops,
        "ours_gflops": round(achieved, 2),
        "reference_gflops": round(flops / seconds["reference"] / 1e9, 2),
        "gemm_gflops": round(gemm_gflops(), 1),
        "ours_gemm_fraction": round(achieved / gemm_gflops(), 3),
    }
    if "kept" in peers:
        row["reference_kept_cpu_s"] = round(seconds["kept"], 4)
        row["ratio_kept"] = round(median_ratio(samples["ours"], samples["kept"]), 3)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=CONFIGS, action="append")
    for name in parser.parse_args().config or CONFIGS:
        print(json.dumps(measure(name, CONFIGS[name])), flush=True)


if __name__ == "__main__":
    main()
