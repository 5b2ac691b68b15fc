"""The loops that run an algorithm: `lax.scan`, many trials, real trainings."""
