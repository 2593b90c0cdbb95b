"""IFEval's 25 instructions, with its ids, its arguments and its meaning, strict and loose.

A constraint of a row:

    {"id": "length_constraints:number_words", "kwargs": {"num_words": 300, "relation": "at least"}}
"""

from data_filters.verifiers.instructions.judging import (
    KINDS,
    check,
    follows,
    loose_variants,
)

__all__ = ["KINDS", "check", "follows", "loose_variants"]
