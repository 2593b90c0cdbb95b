"""hermes-train: the Hermes 4 recipe as software, from verified traces to a served hybrid-reasoning model."""

__version__ = "0.1.0"
"""The version of hermes-train; a stage made by another version counts as out of date."""
