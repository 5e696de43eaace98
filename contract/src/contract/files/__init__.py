"""Formats of problem files: one module for each, and each yields problems."""
