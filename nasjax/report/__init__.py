"""Figures and drawings of results."""
