"""The command `quorum`."""
