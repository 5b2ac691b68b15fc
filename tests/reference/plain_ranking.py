"""Ranks, Friedman's statistic and Nemenyi's difference, written from Demsar (2006)."""

import numpy as np

# Table 5(a) there: quantiles for two-tailed tests at 5 %, by the number of algorithms.
Q_05 = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 10: 3.164}


def ranks(scores):
    """`[D, A]`, 1 for the highest; ties share their mean."""
    made = np.zeros(np.shape(scores))
    for row, values in enumerate(scores):
        for place, value in enumerate(values):
            better = sum(other > value for other in values)
            equal = sum(other == value for other in values)
            made[row, place] = better + (equal + 1) / 2
    return made


def friedman(scores):
    """The statistic without ties: 12 D / (A (A + 1)) (sum R^2 - A (A + 1)^2 / 4)."""
    count, algorithms = np.shape(scores)
    means = ranks(scores).mean(axis=0)
    scale = 12 * count / (algorithms * (algorithms + 1))
    return scale * (np.sum(means**2) - algorithms * (algorithms + 1) ** 2 / 4)


def critical_difference(count, algorithms):
    """At 5 %."""
    return Q_05[algorithms] * np.sqrt(algorithms * (algorithms + 1) / (6 * count))
