"""Noise around mean learning curves: what a training differs by from another."""
