"""The statistics of confidence: the probability that an answer is right, learned from votes on
questions with keys. Pure functions without files; `jobs.calibration` applies them to jobs.
"""
