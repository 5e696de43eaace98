"""Analyses that a teacher model writes for labelled questions; those that reach the key are kept.

This room imports `data` and no other room.
"""
