"""Data -> LoRA -> merge -> verify -> publish.

Reads labelled problems and a recipe, writes one published model: `models/<name>/<digest>/` with
`contract.json` written last, and the link `models/<name>/current` moved onto it. The trainer knows
nothing of the server or the orchestrator.
"""
