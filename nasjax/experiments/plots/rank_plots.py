"""Mean ranks of algorithms over data sets."""

from collections.abc import Mapping

import numpy as np

from nasjax.experiments import ranking
from nasjax.report import rank_diagram
from nasjax.report.plot import Plot


def rank_plot(scores: Mapping[str, Mapping[str, float | None]]) -> Plot:
    """The critical-difference diagram of algorithms that every data set has.

    Args:
      scores: by data set the mean score of each algorithm, higher is better; None where
        there is none.

    Raises:
      DataError: fewer than three data sets, or than two algorithms on all of them.
    """
    names, table = ranking.common([dict(row) for row in scores.values()])
    found = ranking.rank(table)
    figure = rank_diagram.rank_figure(
        names, found.mean_ranks, found.critical_difference
    )
    apart = (
        "are not all alike" if found.p_value < found.level else "may all be the same"
    )
    caption = (
        f"Mean ranks of {len(names)} algorithms over {len(scores)} data sets "
        f"({', '.join(scores)}); 1 is best. Bars join what Nemenyi's test does not "
        f"separate at {100 * found.level:.0f} %. Friedman's test: the algorithms "
        f"{apart} (p = {found.p_value:.3g})."
    )
    columns = {
        "algorithm": np.array(names),
        "mean rank": found.mean_ranks,
        **{f"rank on {d}": found.ranks[i] for i, d in enumerate(scores)},
    }
    return Plot("ranks", figure, caption, columns)
