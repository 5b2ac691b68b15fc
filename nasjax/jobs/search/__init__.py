"""The job of `launch/search.py`: trials of algorithms, and driven searches."""
