"""Searches that fit a predictor and maximise an acquisition function."""
