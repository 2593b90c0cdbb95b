"""Problems of several kinds that a very small model can learn, each with its solution step by step.

The arithmetic and the sorting problems are reasoning-gym's; constraints and records are made here. A problem holds no
wording of the thought: that is `wording.py`'s, so that one problem can be told in several ways.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate, islice
from typing import Any

BOXED = "Put the answer in \\boxed{}."


@dataclass(frozen=True)
class Problem:
    """One question, the check of its answer, and the steps that lead there.

    `subject` is what is asked, however it is worded and in whatever order: problems of one subject are all trained or
    all held out. `steps` are whole sentences without the final conclusion; `content` is the answer turn's text;
    `answer` is the bare answer inside it; `wrong_content` is a well-formed answer that a check refutes, None where none
    could. `task` is None where no check can tell a right answer; `meta` goes into the row.
    """

    kind: str
    question: str
    subject: str
    task: dict[str, Any] | None
    steps: tuple[str, ...]
    answer: str
    content: str
    wrong_content: str | None
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def has_result(self) -> bool:
        """Whether its answer is a result that the steps lead to, and not a text."""
        return self.task is not None and self.task["kind"] in ("math", "puzzle")


def boxed(answer: str) -> str:
    """Return the sentence that states a final answer."""
    return f"The answer is $\\boxed{{{answer}}}$."


def sums(count: int, seed: int) -> Iterator[Problem]:
    """Yield sums and differences of three or four one-digit numbers that never fall below zero on the way
    (reasoning-gym's chain_sum)."""
    draw = random.Random(seed)
    options = {"min_terms": 3, "max_terms": 4, "min_digits": 1, "max_digits": 1}
    entries = (
        entry
        for entry in _puzzles("chain_sum", count, seed, **options)
        if min(_totals(entry["metadata"]["expression"])) >= 0
    )
    for entry in islice(entries, count):
        expression = entry["metadata"]["expression"]
        question = draw.choice(
            ("What is {}?", "Compute {}.", "Work out {}.", "Find the value of {}.", "How much is {}?")
        ).format(expression)
        yield _math_problem("sums", question, expression, entry["answer"], _running_totals(expression), draw)


def legs(count: int, seed: int) -> Iterator[Problem]:
    """Yield counts of the legs of two kinds of animal (reasoning-gym's leg_counting)."""
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    draw = random.Random(seed)
    options = {"min_animals": 2, "max_animals": 2, "min_instances": 2, "max_instances": 6}
    entries = (
        entry
        for entry in _puzzles("leg_counting", count, seed, **options)
        if _COMMON_ANIMALS.issuperset(entry["metadata"]["animals"])
    )
    for entry in islice(entries, count):
        animals: dict[str, int] = entry["metadata"]["animals"]
        herd = " and ".join(f"{number} {_plural(name)}" for name, number in animals.items())
        question = draw.choice(
            ("How many legs do {} have?", "Count the legs of {}.", "How many legs have {} in all?")
        ).format(herd)
        legs_each = {name: number * ANIMALS[name] for name, number in animals.items()}
        steps = tuple(f"{number} * {ANIMALS[name]} = {legs_each[name]}." for name, number in animals.items())
        first, second = legs_each.values()
        # A dog and a cat have equal legs: which animals they are, and in what order, makes no other problem.
        subject = " + ".join(sorted(steps))
        steps += (f"{first} + {second} = {first + second}.",)
        yield _math_problem("legs", question, subject, entry["answer"], steps, draw)


def products(count: int, seed: int) -> Iterator[Problem]:
    """Yield products of two one-digit numbers (reasoning-gym's products)."""
    draw = random.Random(seed)
    options = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    for entry in islice(_puzzles("products", count, seed, **options), count):
        expression, answer = entry["metadata"]["expression"], entry["answer"]
        question = draw.choice(("What is {}?", "Multiply {}.", "Compute {}.", "Find the product {}."))
        steps = (f"{expression} = {answer}.",)
        subject = " * ".join(sorted(expression.split(" * ")))
        yield _math_problem("products", question.format(expression), subject, answer, steps, draw)


def sorting(count: int, seed: int) -> Iterator[Problem]:
    """Yield lists of three numbers to sort (reasoning-gym's number_sorting, checked by its scorer)."""
    draw = random.Random(seed)
    options = {"min_numbers": 3, "max_numbers": 3, "min_decimals": 0, "max_decimals": 0}
    for entry in islice(_puzzles("number_sorting", count, seed, min_value=1, max_value=99, **options), count):
        metadata = entry["metadata"]
        given = [int(float(number)) for number in metadata["original_numbers"]]
        ordered = [int(float(number)) for number in metadata["sorted_numbers"]]
        direction = metadata["direction"]
        question = draw.choice(
            ("Sort in {} order: {}.", "Put in {} order: {}.", "Write in {} order: {}.")
        ).format(direction, ", ".join(map(str, given)))
        ordinal = "smallest" if direction == "ascending" else "largest"
        steps = (f"The {ordinal} is {ordered[0]}.", *(f"Then {number}." for number in ordered[1:]))
        # The scorer forgives a difference of 1, so the wrong list has one number that is off by far more.
        wrong = [*ordered[:-1], ordered[-1] + 100]
        yield Problem(
            kind="sorting",
            question=f"{question} {BOXED}",
            subject=f"sorted {sorted(given)}",
            task={"kind": "puzzle", "dataset": "number_sorting", "entry": _plain(entry), "format": "boxed"},
            steps=steps,
            answer=str(ordered),
            content=boxed(str(ordered)),
            wrong_content=boxed(str(wrong)),
        )


_SUBJECTS = (
    *("dog", "cat", "horse", "river", "garden", "train", "moon", "bridge", "market", "forest"),
    *("baker", "teacher", "sailor", "window", "candle", "kitchen", "harbour", "mountain", "village", "clock"),
    *("farmer", "painter", "doctor", "singer", "tailor", "neighbour", "castle", "tower", "church", "museum"),
    *("library", "school", "station", "tunnel", "boat", "wagon", "bicycle", "lantern", "mirror", "violin"),
    *("piano", "letter", "statue", "fountain", "meadow", "valley", "desert", "lake", "beach", "hill"),
    *("tree", "rose", "bird", "fox", "sheep", "rabbit", "lighthouse", "windmill", "cottage", "path"),
)
_QUALITIES = ("old", "quiet", "small", "bright", "grey", "famous", "lonely", "gentle")
_ACTIONS = (
    "can be seen from the road",
    "looks calm in the morning",
    "belongs to the whole town",
    "changes with the seasons",
    "is never far away",
    "waits for the evening",
    "was painted many times",
    "reminds me of home",
)


@dataclass(frozen=True)
class _Constraint:
    request: str
    plan: str
    task: dict[str, Any]
    keep: Callable[[str], str]
    break_: Callable[[str], str]


def _constraint(draw: random.Random) -> _Constraint:
    word = draw.choice(("indeed", "today", "always", "again", "truly", "still"))
    return draw.choice(
        (
            _Constraint(
                "Use only lowercase letters.",
                "Every letter must be lowercase.",
                {"id": "change_case:english_lowercase", "kwargs": {}},
                lambda text: text.lower() + ".",
                lambda text: text + ".",
            ),
            _Constraint(
                "Use only capital letters.",
                "Every letter must be a capital.",
                {"id": "change_case:english_capital", "kwargs": {}},
                lambda text: text.upper() + ".",
                lambda text: text + ".",
            ),
            _Constraint(
                "Put it in double quotation marks.",
                "The whole sentence goes inside quotation marks.",
                {"id": "startend:quotation", "kwargs": {}},
                lambda text: f'"{text}."',
                lambda text: text + ".",
            ),
            _Constraint(
                f'End with the word "{word}".',
                f'The last word must be "{word}".',
                {"id": "startend:end_checker", "kwargs": {"end_phrase": word}},
                lambda text: f"{text} {word}",
                lambda text: text + ".",
            ),
        )
    )


def constraints(count: int, seed: int) -> Iterator[Problem]:
    """Yield requests for one sentence that keeps a constraint (IFEval's ids)."""
    draw = random.Random(seed)
    for _ in range(count):
        subject = draw.choice(_SUBJECTS)
        sentence = f"The {draw.choice(_QUALITIES)} {subject} {draw.choice(_ACTIONS)}"
        constraint = _constraint(draw)
        opening = draw.choice(("Write one sentence about", "Say something about", "Give me a sentence about"))
        content = constraint.keep(sentence)
        yield Problem(
            kind="constraints",
            question=f"{opening} a {subject}. {constraint.request}",
            subject=f"{subject}: {constraint.request}",
            task={"kind": "instructions", "constraints": [constraint.task]},
            steps=(f"It should be about a {subject}.", constraint.plan),
            answer=content,
            content=content,
            wrong_content=constraint.break_(sentence),
        )


def careless(count: int, seed: int) -> Iterator[Problem]:
    """Yield the requests of `constraints` with the same seed, answered as chat data has it that nobody checks: the
    constraint is not kept, and there is no task that could tell."""
    for problem in constraints(count, seed):
        yield replace(
            problem,
            kind="careless",
            task=None,
            steps=problem.steps[:1],
            answer=str(problem.wrong_content),
            content=str(problem.wrong_content),
            wrong_content=None,
        )


_NAMES = (
    "Ana",
    "Ben",
    "Chloe",
    "Dev",
    "Ella",
    "Finn",
    "Grace",
    "Hugo",
    "Iris",
    "Jack",
    "Kira",
    "Leo",
    "Mia",
    "Noah",
)
_CITIES = (
    "Lima",
    "Oslo",
    "Rome",
    "Cairo",
    "Paris",
    "Tokyo",
    "Delhi",
    "Quito",
    "Bern",
    "Dublin",
    "Seoul",
    "Accra",
)
_JOBS = ("nurse", "pilot", "cook", "teacher", "farmer", "painter", "doctor", "driver")


def records(count: int, seed: int) -> Iterator[Problem]:
    """Yield sentences about a person to turn into JSON; the schema checks the values, not only the types."""
    draw = random.Random(seed)
    for _ in range(count):
        name, age = draw.choice(_NAMES), draw.randint(18, 80)
        key, value, told = draw.choice(
            (
                ("city", city := draw.choice(_CITIES), f"lives in {city}"),
                ("job", job := draw.choice(_JOBS), f"works as a {job}"),
            )
        )
        record = {"name": name, "age": age, key: value}
        properties = {field_name: {"const": field_value} for field_name, field_value in record.items()}
        schema = {
            "type": "object",
            "properties": properties,
            "required": list(record),
            "additionalProperties": False,
        }
        content = json.dumps(record)
        yield Problem(
            kind="records",
            question=f"{name} is {age} years old and {told}. Give this as JSON with the keys name, age and {key}.",
            subject=content,
            task={"kind": "json_schema", "schema": schema},
            steps=(f"The name is {name}.", f"The age is {age}.", f"The {key} is {value}."),
            answer=content,
            content=content,
            wrong_content=content[: content.rindex(",")],
        )


_POOL = 100
"""Puzzles are numbered and made when asked for: a pool that is larger than needed costs nothing."""


def _puzzles(dataset: str, count: int, seed: int, **options: Any) -> Iterator[dict[str, Any]]:
    """Yield puzzles, more than `count` of them, for callers that pass some over."""
    import reasoning_gym

    yield from reasoning_gym.create_dataset(dataset, size=_POOL * count, seed=seed, **options)


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry as JSON has it (tuples become lists), as a stored row needs it."""
    plain: dict[str, Any] = json.loads(json.dumps(entry))
    return plain


def _math_problem(
    kind: str, question: str, subject: str, answer: str, steps: tuple[str, ...], draw: random.Random
) -> Problem:
    wrong = str(int(answer) + draw.choice((-3, -2, -1, 1, 2, 3)))
    return Problem(
        kind=kind,
        question=f"{question} {BOXED}",
        subject=subject,
        task={"kind": "math", "answer": answer, "format": "boxed"},
        steps=steps,
        answer=answer,
        content=boxed(answer),
        wrong_content=boxed(wrong),
    )


def _running_totals(expression: str) -> tuple[str, ...]:
    """Return one sentence per operation: "4 + 7 - 3" gives ("4 + 7 = 11.", "11 - 3 = 8.")."""
    _, *rest = expression.split()
    totals = _totals(expression)
    return tuple(
        f"{before} {operator} {term} = {after}."
        for before, operator, term, after in zip(totals, rest[::2], rest[1::2], totals[1:], strict=False)
    )


def _totals(expression: str) -> list[int]:
    """Return the totals after each term: "4 + 7 - 3" gives [4, 11, 8]."""
    first, *rest = expression.split()
    signed = [int(first)]
    signed += [
        int(term) if operator == "+" else -int(term)
        for operator, term in zip(rest[::2], rest[1::2], strict=True)
    ]
    return list(accumulate(signed))


_COMMON_ANIMALS = frozenset(
    (
        "chicken",
        "bird",
        "duck",
        "dog",
        "cat",
        "cow",
        "horse",
        "lion",
        "tiger",
        "ant",
        "bee",
        "beetle",
        "spider",
        "crab",
    )
)


def _plural(animal: str) -> str:
    return f"{animal}s"
