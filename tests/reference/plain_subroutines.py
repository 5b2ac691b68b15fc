"""What published samplers and mutations of encodings accept, by enumeration.

Sets of paths are frozensets of path numbers; `known` holds those that some cell has.
Every function returns `{outcome: probability}` of what is accepted.
"""

import itertools
import math

import numpy as np


def normalized(weights):
    total = sum(weights.values())
    return {outcome: weight / total for outcome, weight in weights.items() if weight}


def independent(known, size):
    """Each of the paths 0 to size - 1 with probability 1 / size."""
    p = 1 / size
    return normalized(
        {
            paths: p ** len(paths) * (1 - p) ** (size - len(paths))
            for paths in known
            if max(paths, default=-1) < size
        }
    )


def highest(known, size):
    """n is uniform in 1 to 6, then n paths at random."""
    weights = {}
    for paths in known:
        if max(paths, default=-1) < size and 1 <= len(paths) <= 6:
            weights[paths] = 1 / 6 / math.comb(size, len(paths))
    return normalized(weights)


def flipped(known, paths, size):
    """Each of the first paths is toggled with probability 1 / size."""
    p, weights = 1 / size, {}
    for other in known:
        differ = paths ^ other
        if differ and max(differ) < size:
            weights[other] = p ** len(differ) * (1 - p) ** (size - len(differ))
    return normalized(weights)


def moved(known, paths, size):
    """A path goes, is replaced or comes, with 1/3 each."""
    here = [path for path in paths if path < size]
    rest = [path for path in range(size) if path not in paths]
    weights = {}

    def propose(other, weight):
        if other in known:
            weights[other] = weights.get(other, 0) + weight / 3

    for path in here:
        propose(paths - {path}, 1 / len(here))
        for new in rest:
            propose(paths - {path} | {new}, 1 / len(here) / len(rest))
    for new in rest:
        propose(paths | {new}, 1 / len(rest))
    return normalized(weights)


def slot_redrawn(known, paths, size, slots):
    """One of the slots takes any path."""
    held = sorted(path for path in paths if path < size)
    held += [None] * (slots - len(held))
    weights = {}
    for slot, new in itertools.product(range(slots), range(size)):
        others = {p for k, p in enumerate(held) if k != slot and p is not None}
        longer = {path for path in paths if path >= size}
        other = frozenset(others | {new} | longer)
        if other in known and other != paths:
            weights[other] = weights.get(other, 0) + 1
    return normalized(weights)


def edges_redrawn(bits, is_valid):
    """One of 21 slots takes any edge; five operations change with 1/5 each."""
    held = list(np.flatnonzero(bits)) + [None] * (21 - int(np.sum(bits)))
    weights = {}
    for slot, new in itertools.product(range(21), range(21)):
        edges = {e for k, e in enumerate(held) if k != slot and e is not None} | {new}
        child = tuple(int(k in edges) for k in range(21))
        weight = 1.0 if child != tuple(bits) else 1 - 0.8**5
        if is_valid(child):
            weights[child] = weights.get(child, 0) + weight
    return normalized(weights)


def edges_moved(bits, is_valid):
    """An edge goes, is replaced or comes, with 1/3 each."""
    here, rest = np.flatnonzero(bits), np.flatnonzero(1 - np.array(bits))
    weights = {}

    def propose(flips, weight):
        child = tuple(int(bit) ^ (k in flips) for k, bit in enumerate(bits))
        if is_valid(child):
            weights[child] = weights.get(child, 0) + weight

    for k in here:
        propose({k}, 1 / len(here))
        for j in rest:
            propose({k, j}, 1 / len(here) / len(rest))
    for j in rest:
        propose({j}, 1 / len(rest))
    return normalized(weights)


def statistic(counts, probabilities, total):
    """Pearson's statistic in standard deviations from what it is expected to be."""
    expected = {k: total * p for k, p in probabilities.items()}
    assert set(counts) <= set(expected)
    terms = [(counts.get(k, 0) - e) ** 2 / e for k, e in expected.items()]
    # Cells of few expected counts add to the variance of the statistic.
    spread = sum(2 + 1 / e for e in expected.values())
    return (sum(terms) - (len(terms) - 1)) / math.sqrt(spread)
