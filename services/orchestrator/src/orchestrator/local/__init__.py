"""Local mode: the same processes as the compose stack, started with the same commands on one
machine.
"""
