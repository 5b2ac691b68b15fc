"""Surrogates of learning curves: compression, regressors and noise (chapter 5)."""
