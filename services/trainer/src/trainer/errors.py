"""The trainer's expected failures."""


class TrainerError(Exception):
    """Something the user can mend; the message says where, why and what to do."""
