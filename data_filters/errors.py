"""Errors that are told in one line, without a traceback."""


class UserError(ValueError):
    """Wrong use: a bad recipe, file or option. The message is one clear line that says what to do next."""


class RunFailedError(RuntimeError):
    """A run that cannot go on for a reason that its message tells; the command line shows it without a traceback."""
