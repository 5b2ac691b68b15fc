"""Figures and drawings of results; matplotlib is loaded when one is drawn.

For example:

    import numpy as np
    from nasjax.report import learning_curves

    curves = {"valid_accuracy": np.sort(np.random.default_rng(0).random((5, 20)))}
    figure = learning_curves.learning_curves_figure(curves, title="five trainings")
"""

from nasjax.core import lazy

__all__ = [
    "canvas",
    "cell_svg",
    "cell_walks",
    "cells",
    "curves",
    "forecasts",
    "genotypes",
    "inline_svg",
    "latent_space",
    "learning_curves",
    "loss_curves",
    "page",
    "plot",
    "rank_diagram",
    "search_curves",
    "surrogate_curves",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
