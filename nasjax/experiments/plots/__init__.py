"""Plots of results: a figure, its caption, and the numbers in it as columns.

A notebook calls them on histories, on arrays, or on what `result.json` holds; the HTML
report draws the same. For example:

    from nasjax.experiments import plots

    scores = [{"ours": 0.9 + i / 100, "random": 0.8, "local": 0.85} for i in range(4)]
    data_sets = ["a", "b", "c", "d"]
    found = plots.rank_plot(dict(zip(data_sets, scores, strict=True)))
    found.figure, found.caption, found.columns["mean rank"]
"""

from nasjax.core import lazy

__all__ = [
    "Plot",
    "SearchResults",
    "cell_plot",
    "ecdf_plot",
    "fan_plot",
    "learning_curve_plot",
    "pretraining_plot",
    "rank_plot",
    "regret_plot",
    "results_of_histories",
    "results_of_run",
    "results_of_scores",
    "scatter_plot",
    "supernet_plot",
]

_MEMBERS = {
    "Plot": "search_plots",
    "SearchResults": "search_plots",
    "cell_plot": "training_plots",
    "ecdf_plot": "search_plots",
    "fan_plot": "forecast_plots",
    "learning_curve_plot": "training_plots",
    "pretraining_plot": "training_plots",
    "rank_plot": "rank_plots",
    "regret_plot": "search_plots",
    "results_of_histories": "search_plots",
    "results_of_run": "search_plots",
    "results_of_scores": "search_plots",
    "scatter_plot": "forecast_plots",
    "supernet_plot": "training_plots",
}

__getattr__, __dir__ = lazy.attributes(__name__, __all__, _MEMBERS)
