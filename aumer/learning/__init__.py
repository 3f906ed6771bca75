"""The training engine for all networks: loop, settings and checkpoints.

Each kind of network defines an `engine.LearningTask`.
"""
