"""`python -m orchestrator.cli`: the command `quorum`."""

from orchestrator.cli.commands import main

main()
