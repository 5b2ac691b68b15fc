"""Parts of learning-curve surrogates in plain numpy, written from the equations."""

import numpy as np


def svd_codes(curves, rank, centered):
    """Standardised first columns of U, and the mean, s and V^T that undo them."""
    mean = curves.mean(axis=0) if centered else 0 * curves[0]
    u, s, vt = np.linalg.svd(curves - mean, full_matrices=False)
    scores = u[:, :rank]
    codes = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    return codes, (scores @ np.diag(s[:rank])) @ vt[:rank] + mean


def dense(layers, x, activation):
    for i, layer in enumerate(layers):
        x = x @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
        x = activation(x) if i + 1 < len(layers) else x
    return x


def leaky_relu(x):
    return np.where(x > 0, x, 0.2 * x)


def negative_elbo(noise, encoder, decoder, curve):
    """|y - d(z)|^2 + KL(N(mu, sigma^2) || N(0, 1)), dimension by dimension."""
    moments = dense(encoder, curve, leaky_relu)
    mu, variance = moments[: len(noise)], np.exp(moments[len(noise) :])
    output = dense(decoder, mu + np.sqrt(variance) * noise, leaky_relu)
    divergence = 0.0
    for m, v in zip(mu, variance, strict=True):
        divergence += 0.5 * (v + m**2 - 1 - np.log(v))
    return np.sum((curve - output) ** 2) + divergence


def window_std(residuals, width):
    """For even widths the window reaches one epoch further back than forward."""
    result = np.zeros_like(residuals)
    for i, row in enumerate(residuals):
        for j in range(len(row)):
            first = j - width // 2
            window = [row[t] for t in range(first, first + width) if 0 <= t < len(row)]
            middle = sum(window) / len(window)
            squares = sum((value - middle) ** 2 for value in window)
            result[i, j] = np.sqrt(squares / (len(window) - 1))
    return result


def autoregression(rho, e):
    """z_1 = e_1, z_j = rho_j z_{j-1} + sqrt(1 - rho_j^2) e_j."""
    z = [e[0]]
    for j in range(1, len(e)):
        z.append(rho[j] * z[-1] + np.sqrt(1 - rho[j] ** 2) * e[j])
    return np.array(z)


def innovations(z, rho):
    """e of `autoregression`, the epochs last."""
    e = [z[..., 0]]
    for j in range(1, z.shape[-1]):
        e.append((z[..., j] - rho[j] * z[..., j - 1]) / np.sqrt(1 - rho[j] ** 2))
    return np.stack(e, axis=-1)


def gaussian_kl(mean, covariance, mean_2, covariance_2):
    """The thesis' divergence of one curve, with full matrices."""
    length = len(mean)
    inverse = np.linalg.inv(covariance_2)
    shift = mean - mean_2
    log_ratio = np.linalg.slogdet(covariance_2)[1] - np.linalg.slogdet(covariance)[1]
    quadratic = shift @ inverse @ shift
    trace = np.trace(inverse @ covariance)
    return (log_ratio - length + quadratic + trace) / (2 * length)


def autocorrelation(row, lag):
    middle = row.mean()
    above = sum(
        (row[t] - middle) * (row[t + lag] - middle) for t in range(len(row) - lag)
    )
    return above / np.sum((row - middle) ** 2)


def inversions(values):
    return sum(
        values[i] > values[j]
        for i in range(len(values))
        for j in range(i + 1, len(values))
    )
