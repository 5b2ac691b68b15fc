"""The job of `launch/hmnas.py`: algorithm 1 of chapter 2 in a working directory."""
