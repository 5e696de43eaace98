"""From a base model and rows to trained weights: methods, the loop, checkpoints, metrics.

This room imports `data` and no other room.
"""
