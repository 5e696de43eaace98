"""The errors that the trainer expects."""


class TrainerError(Exception):
    """An error that the user can mend; its message says where and why it is, and what to do."""


class StoppedError(TrainerError):
    """A run was asked to stop; the same command goes on with it."""
