"""Preference optimisation: pairs laid into rows, their loss, the log-probabilities of the reference."""
