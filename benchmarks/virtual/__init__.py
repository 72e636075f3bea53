"""Searchers and schedulers on a virtual clock: learning curves instead of training runs."""
