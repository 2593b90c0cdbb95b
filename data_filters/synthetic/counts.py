"""Lists whose words are to be counted: problems whose thoughts grow with the list, one line for each word.

A short list is counted in a few lines. A long one makes a thought of any wanted length that a very small model can
still write, for trying what becomes of thoughts that run past a budget.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from data_filters.synthetic.problems import BOXED, Problem, boxed

# fmt: off
_WORDS = (
    "apple", "pear", "house", "river", "stone", "cloud", "chair", "table", "horse", "mouse", "tiger",
    "lemon", "bread", "water", "paper", "glass", "light", "night", "music", "dance", "train",
    "plane", "truck", "beach", "field", "grass", "plant", "flower", "garden", "window", "door",
    "floor", "wall", "roof", "street", "bridge", "market", "school", "office", "kitchen", "bottle",
    "spoon", "knife", "plate", "lamp", "clock", "radio", "phone", "letter", "stamp", "coin", "ring",
    "shoe", "coat", "hat", "scarf", "glove", "button", "needle", "thread", "wheel", "engine", "boat",
    "sail", "anchor", "island", "desert", "forest", "valley", "mountain", "lake", "ocean", "wave",
    "storm", "rain", "snow", "wind", "fire", "smoke", "coal", "iron", "gold", "silver", "copper",
    "wood", "leaf", "root", "seed", "fruit", "berry", "nut", "bean", "rice", "corn", "wheat",
    "sugar",
)
# fmt: on
_SHORT, _LONG = (3, 14), (28, 40)
"""Least and most words of a list."""


def counts(count: int, seed: int) -> Iterator[Problem]:
    """Yield short lists: thoughts of about 10 to 60 tokens."""
    return _lists("counts", count, seed, _SHORT)


def long_counts(count: int, seed: int) -> Iterator[Problem]:
    """Yield long lists: thoughts of about 110 to 170 tokens."""
    return _lists("long_counts", count, seed, _LONG)


def _lists(kind: str, count: int, seed: int, words: tuple[int, int]) -> Iterator[Problem]:
    draw = random.Random(f"{kind}/{seed}")
    for _ in range(count):
        chosen = draw.choices(_WORDS, k=draw.randint(*words))
        answer = str(len(chosen))
        question = draw.choice(
            ("How many words are in this list: {}?", "Count the words: {}.", "Count these words: {}.")
        ).format(", ".join(chosen))
        yield Problem(
            kind=kind,
            question=f"{question} {BOXED}",
            subject=" ".join(sorted(chosen)),
            task={"kind": "math", "answer": answer, "format": "boxed"},
            steps=tuple(f"{number} {word}\n" for number, word in enumerate(chosen, 1)),
            answer=answer,
            content=boxed(answer),
            wrong_content=boxed(str(len(chosen) + draw.choice((-2, -1, 1, 2)))),
        )
