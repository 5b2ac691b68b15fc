"""Training of one network: optimisers, schedules, evaluation."""
