"""From trained weights to a published model: merged, verified, described, moved into place.

This room imports `data` and `training`.
"""
