"""The training of any network: one loop, one set of settings, one checkpoint.

What is learned, and from what, is an `engine.LearningTask` of the part that the network belongs to.
"""
