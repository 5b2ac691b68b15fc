"""The job of `launch/nasbench_x11.py`: benchmark files and surrogates, chapter 5."""
