"""The job of `launch/train_architecture.py`: trainings of given architectures."""
