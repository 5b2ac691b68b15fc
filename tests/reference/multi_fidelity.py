"""Multi-fidelity searches as plain loops over lists, fed with given random draws.

Each yields one row an evaluation: (arch, epochs, trial, trained, told score). `draw`
functions take the number of the evaluation; `evaluate(trial, arch, epochs)` is the
benchmark.
"""

import math

import numpy as np

NOTHING = -math.inf


def hyperband_brackets(least, most, eta, floor_first=False):
    """Lists of (size, epochs), from the formulas of Li et al. (2018), algorithm 1."""
    s_max = math.floor(math.log(most / least) / math.log(eta) + 1e-9)
    budget = (s_max + 1) * most
    brackets = []
    for s in reversed(range(s_max + 1)):
        n = math.ceil(budget / most * eta**s / (s + 1) - 1e-9)
        if floor_first:
            n = math.floor((s_max + 1) / (s + 1)) * eta**s
        r = most * eta**-s
        rungs = []
        for i in range(s + 1):
            epochs = math.floor(r * eta**i + 1e-9)
            rungs.append((math.floor(n * eta**-i + 1e-9), epochs))
        brackets.append(rungs)
    return brackets


def released_bohb_evaluations(bracket, percent):
    """Epochs of the evaluations of one bracket in NAS-Bench-x11's BOHB."""
    sizes = [size for size, _ in bracket]
    rung, current, following, epochs = 0, 0, 0, []
    for step in range(sum(sizes)):
        if step >= sizes[0]:
            if current == 0:
                current = min(math.ceil(sizes[rung] * percent / 100), following)
                rung, following = min(rung + 1, len(sizes) - 1), 0
            current -= 1
        following += 1
        epochs.append(bracket[rung][1])
    return epochs


def ranked(scores):
    """Places from best to worst; of equals the first comes first."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])


def halving(brackets, draw, evaluate, count, resume, observe=lambda *row: None):
    """Brackets again and again; `draw(step)` gives a new architecture's point."""
    rows, started = [], 0
    while True:
        for bracket in brackets:
            rung, paid = [], 0
            for place, (size, epochs) in enumerate(bracket):
                if place:
                    rung = [rung[k] for k in ranked([s for *_, s in rung])[:size]]
                told = []
                for number in range(size):
                    if len(rows) == count:
                        return rows
                    if place:
                        trial, arch, _ = rung[number]
                    else:
                        trial, arch = started, draw(len(rows))
                        started += 1
                    score = evaluate(trial, arch, epochs)
                    rows.append((arch, epochs, trial, paid if resume else 0, score))
                    observe(arch, epochs, score)
                    told.append((trial, arch, score))
                rung, paid = told, epochs


class Asha:
    """Li et al. (2020), algorithm 2: `job` asks, `report` tells."""

    def __init__(self, epochs, eta, draw):
        self.epochs, self.eta, self.draw = epochs, eta, draw
        self.archs = []
        self.scores = [{} for _ in epochs]
        self.promoted = [set() for _ in epochs]

    def top(self, rung):
        """Trainings of the best 1 in eta whose result is back."""
        done = self.scores[rung]
        order = sorted(done, key=lambda trial: (-done[trial], trial))
        return order[: len(done) // self.eta]

    def open(self, rung):
        return [
            trial
            for trial in self.top(rung)
            if trial not in self.promoted[rung] and self.scores[rung][trial] > NOTHING
        ]

    def job(self, step):
        """(arch, rung, trial) of ask number `step`."""
        for rung in reversed(range(len(self.epochs) - 1)):
            found = self.open(rung)
            if found:
                self.promoted[rung].add(found[0])
                return self.archs[found[0]], rung + 1, found[0]
        self.archs.append(self.draw(step))
        return self.archs[-1], 0, len(self.archs) - 1

    def report(self, rung, trial, score):
        self.scores[rung][trial] = score


def kernel_density(points, categories, least):
    """`log p(point)` of Aitchison-Aitken kernels with normal reference bandwidths."""
    points = np.asarray(points)
    count, size = points.shape
    width = 1.06 * points.std(axis=0) * count ** (-1 / (4 + size))
    widest = np.array([(c - 1) / c for c in categories])
    width = np.minimum(np.maximum(width, least), widest)

    def log_density(point):
        total = 0.0
        for row in points:
            product = 1.0
            for k, c in enumerate(categories):
                product *= 1 - width[k] if row[k] == point[k] else width[k] / (c - 1)
            total += product
        return math.log(total / count)

    return log_density, width, widest


class Bohb:
    """Falkner et al. (2018), algorithm 2, for `halving`'s draw and observe."""

    def __init__(self, categories, draws, percent, least, fraction, factor, narrowest):
        """`draws(step)`: coin, uniform [D], moves [n, D], values [n, D], places [n]."""
        self.categories, self.draws = categories, draws
        self.percent, self.least, self.fraction = percent, least, fraction
        self.factor, self.narrowest = factor, narrowest
        self.seen = {}
        self.modelled = 0

    def observe(self, arch, epochs, score):
        self.seen.setdefault(epochs, []).append((arch, score))

    def draw(self, step):
        coin, uniform, moves, values, places = self.draws(step)
        known = [e for e, rows in self.seen.items() if len(rows) >= self.least + 2]
        if not known or coin < self.fraction:
            return tuple(bins(uniform, self.categories))
        self.modelled += 1
        rows = self.seen[max(known)]
        archs = [rows[k][0] for k in ranked([score for _, score in rows])]
        number = max(self.least, len(rows) * self.percent // 100)
        good, bad = archs[:number], archs[-max(self.least, len(rows) - number) :]
        likely, width, widest = kernel_density(good, self.categories, self.narrowest)
        unlikely, _, _ = kernel_density(bad, self.categories, self.narrowest)
        chance = np.minimum(width * self.factor, widest) / widest
        # Members of the good part are numbered in the order in which they were told.
        members = [arch for arch, _ in self.good_rows(rows, number)]
        best, value = None, NOTHING
        for move, new, place in zip(moves, values, places, strict=True):
            center = members[min(int(place * np.float32(number)), number - 1)]
            drawn = bins(new, self.categories)
            point = tuple(
                int(d) if m < p else c
                for m, p, d, c in zip(move, chance, drawn, center, strict=True)
            )
            score = likely(point) - unlikely(point)
            if score > value + 1e-6:
                best, value = point, score
        return best

    @staticmethod
    def good_rows(rows, number):
        chosen = set(ranked([score for _, score in rows])[:number])
        return [row for k, row in enumerate(rows) if k in chosen]


def bins(uniform, categories):
    counts = np.asarray(categories)
    return np.minimum((np.asarray(uniform) * counts).astype(int), counts - 1)


class Member:
    def __init__(self, point):
        self.point, self.score = point, NOTHING
        self.trial, self.promoted = -1, False


def dehb(brackets, populations, draws, evaluate, count, factor, chance, resume):
    """Awad et al. (2021). `populations`: {epochs: first points}, lowest first.

    `draws(step)`: donor scores of all members (levels one after another, each with the
    same room), crosses [D], anew [D], and the number of the coordinate that is taken
    at least; `evaluate(trial, point, epochs)`.
    """
    width = max(3, *(len(points) for points in populations.values()))
    groups = {e: [Member(p) for p in points] for e, points in populations.items()}
    levels, turn, rows, started = list(groups), dict.fromkeys(groups, 0), [], 0

    def child(step, target, pool_epochs, size):
        donor, crosses, anew, least = draws(step)
        score = {}
        for number, epochs in enumerate(levels):
            for place, member in enumerate(groups[epochs]):
                score[id(member)] = donor[number * width + place]
        everyone = [m for e in levels for m in groups[e]]
        group = groups[pool_epochs]
        best = [group[k] for k in ranked([m.score for m in group])[:size]]

        def usable(member):
            return not np.array_equal(member.point, target)

        pool = sorted(filter(usable, best), key=lambda m: -score[id(m)])
        rest = [m for m in everyone if usable(m) and m not in pool]
        pool += sorted(rest, key=lambda m: -score[id(m)])
        one, two, three = (m.point for m in pool[:3])
        mutant = one + np.float32(factor) * (two - three)
        taken = crosses < chance
        if not taken.any():
            taken[least] = True
        point = np.where(taken, mutant, target)
        return np.where((point < 0) | (point > 1), anew, point)

    sweep = 0
    while True:
        for number, bracket in enumerate(brackets):
            for rung, (size, epochs) in enumerate(bracket):
                below = bracket[max(rung - 1, 0)][1]
                for _ in range(size):
                    step = len(rows)
                    if step == count:
                        return rows
                    parent = groups[epochs][turn[epochs]]
                    turn[epochs] = (turn[epochs] + 1) % len(groups[epochs])
                    able = [
                        m
                        for m in groups[below]
                        if rung and not sweep and m.score > NOTHING and not m.promoted
                    ]
                    if able:
                        source = able[ranked([m.score for m in able])[0]]
                        source.promoted = True
                        point, trial, paid = source.point, source.trial, below
                    else:
                        point, trial, paid = parent.point, started, 0
                        if sweep or number or rung:
                            point = child(step, parent.point, below, size)
                        started += 1
                    score = evaluate(trial, point, epochs)
                    rows.append((point, epochs, trial, paid if resume else 0, score))
                    if score >= parent.score:
                        parent.point, parent.score = point, score
                        parent.trial, parent.promoted = trial, False
        sweep += 1
