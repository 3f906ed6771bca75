"""Benchmarks: protocols as files, folds that can be killed and go on, tables that say how.

`protocol` says what is fixed beforehand, `split` who is tested by a model of whom, `folds` runs
what is not there, `store` keeps it, `result` tells it, and `run` is all of them in turn. What
differs by task (what is opened, how a fold is predicted, how folds are scored) is in `tasks`.
"""
