"""The job of `launch/arch2vec.py`: tables 3.1 to 3.3, figures 3.2 to 3.6."""
