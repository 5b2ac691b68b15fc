"""Regressions written plainly from their equations, in float64."""

import numpy as np


def linear_posterior(theta, y, alpha, beta):
    """Mean and covariance of the weights (Bishop, eq. 3.53-3.54)."""
    precision = alpha * np.eye(theta.shape[1]) + beta * theta.T @ theta
    covariance = np.linalg.inv(precision)
    return beta * covariance @ theta.T @ y, covariance


def linear_evidence(theta, y, alpha, beta):
    """Log density of y under N(0, I / beta + Theta Theta^T / alpha)."""
    covariance = np.eye(len(y)) / beta + theta @ theta.T / alpha
    log_det = np.linalg.slogdet(covariance)[1]
    energy = y @ np.linalg.solve(covariance, y)
    return -0.5 * (energy + log_det + len(y) * np.log(2 * np.pi))


def released_evidence(theta, y, alpha, beta):
    """The same with the norm of the residual not squared, and det in float64."""
    mean, _ = linear_posterior(theta, y, alpha, beta)
    precision = alpha * np.eye(theta.shape[1]) + beta * theta.T @ theta
    with np.errstate(over="ignore"):
        log_det = np.log(np.linalg.det(precision) + 1e-10)
    return 0.5 * (
        theta.shape[1] * np.log(alpha)
        + len(y) * np.log(beta)
        - beta * np.linalg.norm(y - theta @ mean)
        - alpha * mean @ mean
        - log_det
        - len(y) * np.log(2 * np.pi)
    )


def train_tanh_network(params, x, y, orders, *, batch_size, rate):
    """One hidden tanh layer, squared error, Adam; full batches of the orders only."""
    w, b, v, c = (
        params[k].copy() for k in ("kernel", "bias", "out_kernel", "out_bias")
    )
    first = [np.zeros_like(p) for p in (w, b, v, c)]
    second = [np.zeros_like(p) for p in (w, b, v, c)]
    t = 0
    for order in orders:
        for start in range(0, len(y) - batch_size + 1, batch_size):
            rows = order[start : start + batch_size]
            h = np.tanh(x[rows] @ w + b)
            d_out = 2 * (h @ v + c - y[rows]) / batch_size
            d_hidden = np.outer(d_out, v) * (1 - h**2)
            slopes = (x[rows].T @ d_hidden, d_hidden.sum(0), d_out @ h, d_out.sum())
            t += 1
            moved = []
            for i, (p, g) in enumerate(zip((w, b, v, c), slopes, strict=True)):
                first[i] = 0.9 * first[i] + 0.1 * g
                second[i] = 0.999 * second[i] + 0.001 * g**2
                m, s = first[i] / (1 - 0.9**t), second[i] / (1 - 0.999**t)
                moved.append(p - rate * m / (np.sqrt(s) + 1e-8))
            w, b, v, c = moved
    return {"kernel": w, "bias": b, "out_kernel": v, "out_bias": c}


def relu_network(kernels, biases, x):
    """Outputs of ReLU layers, the last one linear, row by row."""
    outputs = []
    for row in x:
        for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
            row = np.maximum(row @ kernel + bias, 0)
        outputs.append(row @ kernels[-1] + biases[-1])
    return np.array(outputs)


def train_relu_network(params, x, y, *, steps, rate, decays):
    """Two ReLU layers, absolute error, full batches, Adam (Kingma and Ba, 2015)."""
    w, v, b, u, c = [np.array(p) for p in params]
    first, second = [0.0] * 5, [0.0] * 5
    for t in range(1, steps + 1):
        before = x @ w + b[0]
        h = np.maximum(before, 0)
        inner = h @ v[0] + b[1]
        g = np.maximum(inner, 0)
        d_out = np.sign(g @ u + c - y) / len(y)
        d_inner = np.outer(d_out, u) * (inner > 0)
        d_before = d_inner @ v[0].T * (before > 0)
        slopes = [
            x.T @ d_before,
            (h.T @ d_inner)[None],
            np.stack([d_before.sum(0), d_inner.sum(0)]),
            g.T @ d_out,
            d_out.sum(),
        ]
        moved = []
        for i, (p, slope) in enumerate(zip((w, v, b, u, c), slopes, strict=True)):
            first[i] = decays[0] * first[i] + (1 - decays[0]) * slope
            second[i] = decays[1] * second[i] + (1 - decays[1]) * slope**2
            m, s = first[i] / (1 - decays[0] ** t), second[i] / (1 - decays[1] ** t)
            moved.append(p - rate * m / (np.sqrt(s) + 1e-8))
        w, v, b, u, c = moved
    return w, v, b, u, c


def graph_hidden(params, adjacency, ops, num_nodes, *, num_layers, num_ops):
    """Last hidden layer of the graph network, one cell without padding at a time."""
    rows = []
    for matrix, ids, n in zip(adjacency, ops, num_nodes, strict=True):
        x = np.eye(num_ops)[ids[:n]]
        for layer in range(num_layers):
            new = np.zeros((n, params[f"forward.{layer}"].shape[1]))
            for node in range(n):
                before = [node, *np.flatnonzero(matrix[:n, node])]
                after = [node, *np.flatnonzero(matrix[node, :n])]
                along = x[before].mean(0) @ params[f"forward.{layer}"]
                against = x[after].mean(0) @ params[f"backward.{layer}"]
                new[node] = (np.maximum(along, 0) + np.maximum(against, 0)) / 2
            x = new
        pooled = x.mean(0)
        rows.append(np.maximum(pooled @ params["head_kernel"] + params["head_bias"], 0))
    return np.array(rows)
