"""The trainer's expected failures."""


class TrainerError(Exception):
    """Something the user can mend; the message says where, why and what to do."""


class StoppedError(TrainerError):
    """A run that was asked to stop, and can go on."""
