"""Measurements of aumer, by what they tell: `speed`, `accuracy`, and `studies` of choices made.

Every module of these three is a script: ``python -m benchmarks.accuracy.motion --save``. What
several of them use is in the modules beside them.
"""
