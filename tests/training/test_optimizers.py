"""Optimizers step by step against PyTorch's and TensorFlow's rules in plain numpy."""

import jax
import numpy as np
import optax
import pytest

from nasjax.training import optimizers

STEPS = 5


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def problem():
    rng = np.random.default_rng(0)
    params = {"w": rng.normal(size=(3, 2)), "b": rng.normal(size=3)}
    gradients = [
        {name: 4 * rng.normal(size=x.shape) for name, x in params.items()}
        for _ in range(STEPS)
    ]
    return params, gradients


def run(optimizer, params, gradients):
    state, path = optimizer.init(params), []
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        path.append(params)
    return path, state


def plain_sgd(params, gradients, *, rates, momentum, weight_decay, clip, nesterov):
    """torch.nn.utils.clip_grad_norm_, then torch.optim.SGD."""
    buffers, path = None, []
    for rate, gradient in zip(rates, gradients, strict=True):
        norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
        factor = min(1.0, clip / norm) if clip else 1.0
        decayed = {n: factor * gradient[n] + weight_decay * params[n] for n in params}
        if buffers is None:
            buffers = decayed
        else:
            buffers = {n: momentum * buffers[n] + decayed[n] for n in params}
        step = buffers
        if nesterov:
            step = {n: decayed[n] + momentum * buffers[n] for n in params}
        params = {n: params[n] - rate * step[n] for n in params}
        path.append(params)
    return path, buffers


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("clip", [0.0, 5.0, 1e3])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_sgd(weight_decay, clip, nesterov):
    params, gradients = problem()
    settings = {
        "momentum": 0.9,
        "weight_decay": weight_decay,
        "clip": clip,
        "nesterov": nesterov,
    }
    schedule = optimizers.cosine(0.1, STEPS)
    rates = [0.05 * (1 + np.cos(np.pi * step / STEPS)) for step in range(STEPS)]
    ours, state = run(optimizers.sgd(schedule, **settings), params, gradients)
    plain, buffers = plain_sgd(params, gradients, rates=rates, **settings)
    check(ours, plain)
    check([optimizers.momentum_buffer(state)], [buffers])


def test_clipping_acts_before_weight_decay():
    params, gradients = problem()
    norms = [np.sqrt(sum((g**2).sum() for g in step.values())) for step in gradients]
    assert min(norms) > 5  # the cases above differ
    clipped, _ = run(optimizers.sgd(0.1, clip=5.0), params, gradients)
    free, _ = run(optimizers.sgd(0.1), params, gradients)
    assert not np.allclose(clipped[0]["w"], free[0]["w"])


@pytest.mark.parametrize("weight_decay", [0.0, 1e-3, 0.5])
@pytest.mark.parametrize("betas", [(0.5, 0.999), (0.9, 0.999)])
def test_adam(betas, weight_decay):
    """torch.optim.Adam: weight decay is added to the gradient, not to the step."""
    params, gradients = problem()
    optimizer = optimizers.adam(
        3e-2, beta1=betas[0], beta2=betas[1], weight_decay=weight_decay
    )
    ours, _ = run(optimizer, params, gradients)
    plain, state = [], {n: (0.0, 0.0) for n in params}
    for t, gradient in enumerate(gradients, 1):
        new = {}
        for n, w in params.items():
            g = gradient[n] + weight_decay * w
            m = betas[0] * state[n][0] + (1 - betas[0]) * g
            v = betas[1] * state[n][1] + (1 - betas[1]) * g**2
            state[n] = m, v
            corrected = np.sqrt(v / (1 - betas[1] ** t)) + 1e-8
            new[n] = w - 3e-2 * m / (1 - betas[0] ** t) / corrected
        params = new
        plain.append(new)
    check(ours, plain)


def plain_rmsprop(params, gradients, *, rates, decay, momentum, epsilon, weight_decay):
    """tf.train.RMSPropOptimizer on the loss with weight_decay * tf.nn.l2_loss."""
    square = {n: np.ones_like(w) for n, w in params.items()}
    buffers = {n: np.zeros_like(w) for n, w in params.items()}
    path = []
    for rate, gradient in zip(rates, gradients, strict=True):
        new = {}
        for n, w in params.items():
            g = gradient[n] + weight_decay * w
            square[n] = decay * square[n] + (1 - decay) * g * g
            buffers[n] = momentum * buffers[n] + rate * g / np.sqrt(square[n] + epsilon)
            new[n] = w - buffers[n]
        params = new
        path.append(params)
    return path


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("epsilon", [1.0, 1e-3])
def test_rmsprop(epsilon, weight_decay):
    params, gradients = problem()
    settings = {
        "decay": 0.9,
        "momentum": 0.9,
        "epsilon": epsilon,
        "weight_decay": weight_decay,
    }
    schedule = optimizers.cosine(0.2, STEPS)
    rates = [0.1 * (1 + np.cos(np.pi * step / STEPS)) for step in range(STEPS)]
    ours, _ = run(optimizers.rmsprop(schedule, **settings), params, gradients)
    check(ours, plain_rmsprop(params, gradients, rates=rates, **settings))
    fixed, _ = run(optimizers.rmsprop(0.2, **settings), params, gradients)
    check(fixed, plain_rmsprop(params, gradients, rates=[0.2] * STEPS, **settings))


def test_rmsprop_clips_the_whole_gradient():
    params, gradients = problem()
    first = gradients[:1]
    norm = np.sqrt(sum((g**2).sum() for g in first[0].values()))
    scaled = [{n: g * 2.0 / norm for n, g in first[0].items()}]
    clipped, _ = run(optimizers.rmsprop(0.2, clip=2.0), params, first)
    free, _ = run(optimizers.rmsprop(0.2), params, scaled)
    check(clipped, free)


def test_schedules_by_epoch():
    decayed = optimizers.by_epoch(optimizers.exponential(0.1, 0.97), 5)
    np.testing.assert_allclose(
        [decayed(s) for s in (0, 4, 5, 14, 50)],
        [0.1, 0.1, 0.097, 0.1 * 0.97**2, 0.1 * 0.97**10],
    )
    cosine = optimizers.by_epoch(optimizers.cosine(0.4, 10), 3)
    np.testing.assert_allclose([cosine(s) for s in (2, 15, 17)], [0.4, 0.2, 0.2])
    assert optimizers.constant(0.3)(7) == 0.3


def test_schedules():
    cosine = optimizers.cosine(0.4, 100)
    np.testing.assert_allclose(
        [cosine(s) for s in (0, 50, 100, 150)], [0.4, 0.2, 0, 0], atol=1e-9
    )
    steps = optimizers.piecewise(1e-2, 30)
    np.testing.assert_allclose(
        [steps(s) for s in (0, 29, 30, 59)], [1e-2, 1e-2, 1e-3, 1e-3]
    )
    assert float(optimizers.cosine(0.4, 0)(0)) == pytest.approx(0.4)


def check(ours, plain):
    assert len(ours) == len(plain)
    for a, b in zip(ours, plain, strict=True):
        for name in b:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-9, atol=1e-12)
