"""What is measured, and against whom; run with `python -m bench`."""
