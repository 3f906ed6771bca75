"""Benchmarks: protocols as files, folds that can be killed and go on, tables that say how."""
