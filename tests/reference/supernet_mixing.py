"""Equations 2.1 to 2.3 in loops over edges: softmaxes, masks, renormalisation."""

import numpy as np


def softmax(logits):
    """Softmax of a list in which minus infinity is allowed; zeros if all are that."""
    logits = np.asarray(logits, np.float64)
    if not np.isfinite(logits).any():
        return np.zeros_like(logits)
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def coefficients(alpha, beta, edges, alpha_mask=None, beta_mask=None, *, logits=False):
    """Edge weight times operation weight of one set: `[E, O]`.

    Args:
      alpha: `[E, O]`.
      beta: `[E]`.
      edges: (source, target) of each edge.
      alpha_mask: `[E, O]` of zeros and ones.
      beta_mask: `[E]` of zeros and ones.
      logits: mask by logits of minus infinity, not by multiplying the weights.
    """
    num_edges, num_operations = alpha.shape
    alpha_mask = np.ones_like(alpha) if alpha_mask is None else alpha_mask
    beta_mask = np.ones_like(beta) if beta_mask is None else beta_mask
    if logits:
        alpha = np.where(alpha_mask > 0, alpha, -np.inf)
        beta = np.where(beta_mask > 0, beta, -np.inf)
    result = np.zeros((num_edges, num_operations))
    for node in {target for _, target in edges}:
        into = [e for e, (_, target) in enumerate(edges) if target == node]
        for e, edge_weight in zip(into, softmax([beta[e] for e in into]), strict=True):
            for o, operation_weight in enumerate(softmax(alpha[e])):
                kept = 1.0 if logits else beta_mask[e] * alpha_mask[e, o]
                result[e, o] = edge_weight * operation_weight * kept
    return result
