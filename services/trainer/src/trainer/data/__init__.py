"""From labelled files to the rows a model is trained on: read, split, permuted, rendered, packed.

This room imports no other room.
"""
