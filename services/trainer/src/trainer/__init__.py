"""Data -> LoRA -> merge -> verify -> publish.

Reads labelled problems and a recipe, and publishes one model: the folder `models/<name>/<digest>/`,
in which `contract.json` is written last, and the link `models/<name>/current` to it. The trainer
knows nothing of the server or the orchestrator.

The rooms `data`, `training`, `publishing` and `distilling` hold the parts; their `__init__.py` says
what each may import. The modules beside them are the commands, the pipeline that connects the
rooms, and a few that every room may use.
"""
