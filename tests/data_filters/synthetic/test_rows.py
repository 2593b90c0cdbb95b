import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from data_filters.errors import UserError
from data_filters.formats import parse_row
from data_filters.samples import Outcome
from data_filters.settings import Source, VerifySettings
from data_filters.synthetic import KINDS, rows
from data_filters.verifiers.refusals import Refusal, find_refusal
from data_filters.verify import verify

SETTINGS = VerifySettings(refusals={"harmless": "drop"})
UNCHECKED = ("requests", "misjudged", "careless")
"""Kinds without a task: no check can tell their right answers."""


def verdicts(kind, mode, faults, count=60):
    source = Source(name=kind, synthetic=kind, rows=count)
    for number, row in enumerate(rows(kind, count, 3, mode, faults)):
        yield row, verify(parse_row(row, source, number), SETTINGS)


@pytest.mark.parametrize("mode", ["think", "direct"])
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"misjudged", "careless"}))
def test_every_row_without_a_fault_is_verified_or_has_no_check(kind, mode):
    for row, verdict in verdicts(kind, mode, faults=0.0):
        assert verdict.outcome is _sound(kind), (row, verdict)


def _sound(kind):
    return Outcome.UNVERIFIED if kind in UNCHECKED else Outcome.VERIFIED


@pytest.mark.parametrize("mode", ["think", "direct"])
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"misjudged", "careless"}))
def test_every_planted_fault_but_a_duplicate_is_a_fault_that_checks_can_see(kind, mode):
    planted = [pair for pair in verdicts(kind, mode, faults=0.5) if "fault" in pair[0]["meta"]]

    assert len(planted) > 10
    for row, verdict in planted:
        expected = _sound(kind) if row["meta"]["fault"] == "duplicate" else Outcome.REFUTED
        assert verdict.outcome is expected, (row, verdict)


def test_a_thought_that_ignores_a_constraint_goes_as_the_right_one_up_to_where_the_constraint_is_thought_of():
    made = list(rows("constraints", 60, 3, "think", 0.5))

    ignoring = [
        (right["messages"][1], row["messages"][1])
        for right, row in pairwise(made)
        if row["meta"].get("fault") == "ignored_constraint"
    ]
    assert len(ignoring) > 5
    for right, wrong in ignoring:
        assert right["reasoning"].startswith(wrong["reasoning"] + " ")
        assert re.search(r"It should be about a \w+\.$", wrong["reasoning"])


def test_the_share_of_faults_is_about_what_was_asked():
    made = list(rows("sums", 2000, 0, "think", 0.3))

    assert abs(sum("fault" in row["meta"] for row in made) / len(made) - 0.3) < 0.03


def test_equal_arguments_give_equal_rows_and_another_seed_gives_others():
    assert list(rows("legs", 20, 1, "think", 0.2)) == list(rows("legs", 20, 1, "think", 0.2))
    assert list(rows("legs", 20, 1, "think", 0.2)) != list(rows("legs", 20, 2, "think", 0.2))


RECIPE = yaml.safe_load((Path(__file__).parents[3] / "recipes" / "demo.yaml").read_text("utf-8"))


def contents(row):
    """What a question is about, whatever its opening and the order in it."""
    steps = row["messages"][1]["reasoning"].replace("\n", " ").split(". ")
    question = row["messages"][0]["content"]
    if row["meta"]["kind"] in ("requests", "misjudged"):
        return re.sub(r"^(How do I|Tell me how to|What is the best way to|.* how to) |[.?]$", "", question)
    if row["meta"]["kind"] in ("legs", "products"):
        return frozenset(re.findall(r"\d+ \* \d+", " ".join(steps))) or question
    return re.sub(r"^(Write one sentence|Say something|Give me a sentence) ", "", question)


@pytest.mark.parametrize("kind", ["requests", "legs", "products", "constraints", "sums", "records"])
def test_the_demo_is_measured_on_no_content_that_it_trains_on_in_other_words(kind):
    families = {"requests": ("requests", "misjudged"), "constraints": ("constraints", "careless")}
    names = families.get(kind, (kind,))
    (measured,) = (source for source in RECIPE["evaluate"]["problems"] if source["synthetic"] == kind)
    trained = {
        contents(row)
        for source in RECIPE["data"]["sources"]
        if source["synthetic"] in names
        for row in rows(source["synthetic"], source["rows"], source["seed"], "think", 0)
    }

    asked = rows(kind, measured["rows"], measured["seed"], "think", 0, measured["held_out"])
    asked = [contents(row) for row in asked]

    assert len(asked) == measured["rows"]
    assert len(trained) > 20
    assert not trained & set(asked)


def test_of_each_category_that_a_refusal_is_right_for_a_quarter_of_the_acts_is_held_out():
    acts = {
        held_out: Counter(
            category
            for category, _ in {
                (
                    row["meta"]["category"],
                    re.sub(r"^(How do I |.*? to )|[.?]$", "", row["messages"][0]["content"]),
                )
                for row in rows("requests", 1500, 1, "think", 0, held_out)
                if "category" in row["meta"]
            }
        )
        for held_out in (False, True)
    }

    assert len(acts[True]) == 3
    for category, number in acts[True].items():
        assert (number, acts[False][category]) == (2, 6), category


def test_an_unknown_kind_is_answered_with_the_kinds():
    with pytest.raises(
        UserError,
        match="unknown kind of synthetic rows 'chess'; the kinds are careless, constraints, counts, legs",
    ):
        next(rows("chess", 1, 0, None, 0.0))


def test_requests_are_answered_but_for_those_that_a_refusal_is_right_for():
    for row in rows("requests", 1000, 1, "direct", 0):
        refuses = find_refusal(row["messages"][1]["content"]).refusal
        assert refuses is (Refusal.FULL if "category" in row["meta"] else Refusal.NONE), row


def test_misjudged_requests_are_those_of_the_same_seed_with_the_replies_the_other_way_round():
    asked = {row["messages"][0]["content"] for row in rows("requests", 300, 1, "think", 0)}
    made = list(rows("misjudged", 100, 1, "think", 0))

    assert {row["messages"][0]["content"] for row in made} <= asked
    for row in made:
        refuses = find_refusal(row["messages"][1]["content"]).refusal
        assert refuses is (Refusal.NONE if "category" in row["meta"] else Refusal.FULL), row


def test_requests_are_hundreds_and_those_of_another_seed_are_mostly_others():
    first, second = (
        {row["messages"][0]["content"] for row in rows("requests", 100, seed, None, 0)} for seed in (1, 1001)
    )

    assert len({row["messages"][0]["content"] for row in rows("requests", 3000, 0, None, 0)}) > 350
    assert len(first & second) < 0.3 * len(second)


def test_careless_answers_break_the_constraint_that_the_kind_of_the_same_seed_keeps():
    kept, careless = (list(rows(kind, 40, 1, "direct", 0)) for kind in ("constraints", "careless"))
    source = Source(name="constraints", synthetic="constraints", rows=40)

    for number, (good, bad) in enumerate(zip(kept, careless, strict=True)):
        assert good["messages"][0] == bad["messages"][0]
        assert bad["task"] is None
        verdict = verify(parse_row(bad | {"task": good["task"]}, source, number), SETTINGS)
        assert verdict.outcome is Outcome.REFUTED, bad
