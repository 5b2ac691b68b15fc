"""Gradient-boosted trees: fitted by LightGBM or XGBoost, evaluated under jit."""
