"""Discrete search algorithms as plain loops over lists, fed with given random draws."""

import collections

import numpy as np


def evolution(first, samples, mutate, evaluate, num_steps):
    """Aging evolution: `samples[step]` are places in the population, oldest first.

    `mutate(step, parent)` gives the child, `evaluate(step, arch)` its score.
    """
    population, history = collections.deque(), []
    for step in range(num_steps):
        if step < len(first):
            arch = first[step]
        else:
            members = [population[place] for place in samples[step]]
            best = members[0]
            for member in members[1:]:
                if member[1] > best[1]:
                    best = member
            arch = mutate(step, best[0])
            population.popleft()
        population.append((arch, evaluate(step, arch)))
        history.append(arch)
    return history


def local_search(
    draws,
    orders,
    neighbors,
    evaluate,
    num_steps,
    num_init,
    num_restart,
    variant,
    identify,
):
    """Descents one after another: `draws[step]` are random architectures.

    `orders[step]` are scores of the neighbours: the highest of those left is next.
    `variant`: "best", "first" (moves at once), or "released" (restarts unevaluated and
    evaluates what is known again); `identify(arch)` names the cell.
    """
    history, known = [], set()

    def new(arch):
        return variant == "released" or identify(arch) not in known

    def random_arch():
        drawn = draws[len(history)]
        return next((arch for arch in drawn if new(arch)), drawn[0])

    def query(arch):
        history.append(arch)
        known.add(identify(arch))
        return evaluate(len(history) - 1, arch)

    class Enough(Exception):
        pass

    def descend(center, value):
        while True:
            archs, left = neighbors(center)
            left = {k for k in left if new(archs[k])}
            best, best_value = center, value
            while left:
                step = len(history)
                if step == num_steps:
                    raise Enough
                chosen = max(left, key=lambda k: orders[step][k])
                found = query(archs[chosen])
                left = {k for k in left - {chosen} if new(archs[k])}
                if found > best_value:
                    best, best_value = archs[chosen], found
                    if variant == "first":
                        break
            if best_value <= value:
                return
            center, value = best, best_value

    def random_phase(count):
        best, best_value = None, -np.inf
        for _ in range(count):
            if len(history) == num_steps:
                raise Enough
            arch = random_arch()
            found = query(arch)
            if found > best_value:
                best, best_value = arch, found
        return best, best_value

    try:
        center, value = random_phase(num_init)
        while True:
            descend(center, value)
            if variant == "released":
                center, value = random_arch(), -np.inf
            else:
                center, value = random_phase(num_restart)
    except Enough:
        return history


def reinforce(archs, rewards, num_values, learning_rate, momentum, adam):
    """Logits `[G, K]` after every reward, float64."""
    logits = np.zeros((len(archs[0]), num_values))
    total = weight = 0.0
    first, second = np.zeros_like(logits), np.zeros_like(logits)
    after = []
    for step, (arch, reward) in enumerate(zip(archs, rewards, strict=True), 1):
        total = momentum * total + (1 - momentum) * reward
        weight = momentum * weight + (1 - momentum)
        gradient = np.zeros_like(logits)
        for gene, value in enumerate(arch):
            shares = np.exp(logits[gene]) / np.exp(logits[gene]).sum()
            gradient[gene] = (np.arange(num_values) == value) - shares
        gradient *= reward - total / weight
        if adam:
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            gradient = (first / (1 - 0.9**step)) / (
                np.sqrt(second / (1 - 0.999**step)) + 1e-8
            )
        logits = logits + learning_rate * gradient
        after.append(logits)
    return np.array(after)
