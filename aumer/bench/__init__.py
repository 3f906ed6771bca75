"""Benchmarks: protocols as files, resumable folds, tables with the rules of the score.

`protocol` defines what is fixed in advance, `split` the training and test subjects, `folds` runs
missing folds, `store` saves them, `result` reports them, and `run` does all of this. What depends
on the task (data, prediction of a fold, scoring) is in `tasks`.
"""
