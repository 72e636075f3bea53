"""What `benchmarks/chaos.py` breaks and how it judges what is left: one fault a run, while a trial trains."""
