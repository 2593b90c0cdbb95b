"""The one error that a user of this package can cause and mend."""


class UserError(ValueError):
    """Wrong use: a bad recipe, file or option. The message is one clear line that says what to do next."""
