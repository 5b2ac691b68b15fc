"""Types, errors, arrays on disk, checkpoints, logs: what every other folder uses."""
