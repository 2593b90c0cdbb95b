"""Score answers with reasoning-gym. Runs in a guarded process: some scorers search, and some evaluate."""

from __future__ import annotations

from functools import cache
from typing import Any

_NEED_TUPLES = {"arc_agi", "rearc"}
"""Data sets whose scorers compare with tuples, which JSON rows bring as lists."""


def prepare() -> None:
    """Import reasoning-gym, in the process whose children score."""
    import reasoning_gym  # noqa: F401  (imported for the children)


class _Metadata(dict[str, Any]):
    """An entry's metadata that remembers what was asked of it in vain: many scorers answer that with a zero."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given)
        self.missed: list[str] = []

    def __missing__(self, key: str) -> Any:
        self.missed.append(key)
        raise KeyError(key)


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The score of {"dataset", "answer", "entry"} as {"score": 1.0}, or {"problem": "..."} where none can be given."""
    dataset, entry = question["dataset"], question["entry"]
    try:
        scorer = _scorer(dataset)
    # reasoning-gym raises this for a name that it does not know; `composite` asserts that it is told its parts.
    except (ValueError, AssertionError) as error:
        return {"problem": str(error)[:300]}
    given = entry.get("metadata")
    metadata = _Metadata(given if isinstance(given, dict) else {})
    if dataset in _NEED_TUPLES:
        metadata.update(_with_tuples(dict(metadata)))
    try:
        score = float(scorer.score_answer(question["answer"], entry | {"metadata": metadata}))
    except KeyError:
        if not metadata.missed:
            raise
        score = 0.0
    if metadata.missed:
        return {"problem": f"the entry's metadata lacks {metadata.missed[0]!r}"[:300]}
    return {"score": score}


@cache
def _scorer(dataset: str) -> Any:
    """The data set that scores answers. Raises ValueError for a name that reasoning-gym does not know."""
    import reasoning_gym

    return reasoning_gym.create_dataset(dataset, size=1, seed=0)


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(part) for key, part in value.items()}
    return tuple(_with_tuples(part) for part in value) if isinstance(value, list) else value
