"""Schemas, tool calls and puzzles on public suites that others wrote and labelled."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reasoning_gym
from reasoning_gym.factory import DATASETS

from data_filters.files import read_jsonl
from data_filters.formats import parse_row
from data_filters.readers import read_rows
from data_filters.samples import JsonSchemaTask, Message, Outcome, PuzzleTask, Sample, ToolCallsTask
from data_filters.settings import Source, ThinkSettings
from data_filters.verifiers import consistency, json_schema, puzzles, think_format, tool_calls

pytestmark = pytest.mark.real_data

Row = dict[str, Any]

# JSON Schema

DRAFTS = {"draft4": "4", "draft6": "6", "draft7": "7", "draft2019-09": "2019-09", "draft2020-12": "2020-12"}


def test_every_required_test_of_the_json_schema_suite_passes_save_those_that_need_a_remote_document(
    shared_data: Path,
) -> None:
    remote: Counter[tuple[str, str]] = Counter()
    passed, wrong = 0, []
    for group in read_jsonl(shared_data / "json_schema/json_schema_test_suite.jsonl.gz"):
        if group["draft"] not in DRAFTS or group["file"].startswith("optional"):
            continue
        task = JsonSchemaTask(group["schema"], draft=DRAFTS[group["draft"]])  # type: ignore[arg-type]  # a table of literals
        for test in group["tests"]:
            found = json_schema.check(task, json.dumps(test["data"]), 1)
            if found.reason == "json_schema_not_usable" and "http://localhost:1234" in found.detail:
                remote[group["draft"], group["file"]] += 1
            elif (found.outcome == Outcome.VERIFIED) == test["valid"] and found.outcome != Outcome.FAILED:
                passed += 1
            else:
                wrong.append((group["draft"], group["file"], test["description"], found.reason, found.detail))

    assert wrong == []
    assert passed == 4794
    # The suite serves these documents itself; nothing is ever fetched here.
    assert dict(remote) == {
        ("draft4", "refRemote"): 17,
        ("draft6", "refRemote"): 23,
        ("draft7", "refRemote"): 23,
        ("draft2019-09", "refRemote"): 31,
        ("draft2019-09", "vocabulary"): 5,
        ("draft2020-12", "refRemote"): 31,
        ("draft2020-12", "dynamicRef"): 13,
        ("draft2020-12", "vocabulary"): 5,
    }


# Tool calls

TOOL_FILES = ("simple_python", "multiple", "parallel")
AGAINST_THE_TOOLS_OWN_SCHEMA = {
    ("simple_python_149", "company_names"),  # lists of names where names are declared
    ("simple_python_307", "venue"),  # true for a text
    ("simple_python_358", "diet"),  # "GF" and "gluten free" beside the declared "Gluten Free"
    ("multiple_76", "material"),  # "bronze" for the declared "Bronze"
    ("parallel_152", "mod"),  # null for a number
}
"""Arguments for which BFCL also accepts values that the tool's own declaration forbids."""


def bfcl(folder: Path) -> Iterator[tuple[str, ToolCallsTask, list[Row]]]:
    """Each question's id, what is accepted as its answer, and its tools."""
    for name in TOOL_FILES:
        questions = read_jsonl(folder / f"BFCL_v4_{name}.json")
        answers = read_jsonl(folder / f"possible_answer_{name}.json")
        for question, answer in zip(questions, answers, strict=True):
            assert question["id"] == answer["id"]
            calls = [
                {"name": tool, "accepted": accepted}
                for call in answer["ground_truth"]
                for tool, accepted in call.items()
            ]
            yield question["id"], ToolCallsTask(calls), question["function"]


def plain(option: Any) -> Any:
    """One value that an option accepts: the first of each list of an object's accepted values."""
    if isinstance(option, dict):
        chosen = {name: next((v for v in values if v != ""), None) for name, values in option.items()}
        return {name: plain(value) for name, value in chosen.items() if value is not None}
    return [plain(part) for part in option] if isinstance(option, list) else option


def first_answer(task: ToolCallsTask) -> list[Row]:
    """The calls with the first accepted value of each argument; those that may only be left out are."""
    return [
        {
            "name": call["name"],
            "arguments": {
                name: plain(next(option for option in options if option != ""))
                for name, options in call["accepted"].items()
                if any(option != "" for option in options)
            },
        }
        for call in task.calls
    ]


def judge(task: ToolCallsTask, calls: list[Row], tools: list[Row] | None) -> tuple[str, str]:
    text = "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)
    found = tool_calls.check(task, Message("assistant", text), tools, 1)
    as_openai = [{"function": call | {"arguments": json.dumps(call["arguments"])}} for call in calls]
    assert tool_calls.check(task, Message("assistant", "", tool_calls=as_openai), tools, 1) == found
    return found.outcome.value, found.reason


def with_argument(calls: list[Row], place: int, name: str, value: Any) -> list[Row]:
    changed = json.loads(json.dumps(calls))
    changed[place]["arguments"][name] = value
    return list(changed)


def test_each_accepted_value_of_bfcl_verifies(shared_data: Path) -> None:
    refused = set()
    tried = 0
    for question, task, tools in bfcl(shared_data / "tools"):
        calls = first_answer(task)
        for place, call in enumerate(task.calls):
            for name, options in call["accepted"].items():
                for option in (option for option in options if option != ""):
                    tried += 1
                    changed = with_argument(calls, place, name, plain(option))
                    assert judge(task, changed, None) == ("verified", "tool_calls_correct")
                    if judge(task, changed, tools)[0] != "verified":
                        refused.add(question)

    assert tried > 4000
    assert refused == {question for question, _ in AGAINST_THE_TOOLS_OWN_SCHEMA}


def other_values(options: list[Any]) -> list[Any]:
    """Values near the accepted ones that are accepted nowhere among them."""
    changed: list[Any] = []
    for option in options:
        value = plain(option)
        if isinstance(value, bool):
            changed.append(not value)
        elif isinstance(value, int | float):
            changed += [value + 1, str(value)]
        elif isinstance(value, str):
            changed += [value + "x", value[1:]]
        elif isinstance(value, list):
            changed += [[*value, "x"], value[1:]] if value else [["x"]]
        elif isinstance(value, dict):
            changed.append(value | {"unheard of": 1})
    return [value for value in changed if value not in [plain(option) for option in options]]


def test_each_changed_argument_of_bfcl_is_refuted(shared_data: Path) -> None:
    accepted_wrongly = []
    tried = 0
    for question, task, tools in bfcl(shared_data / "tools"):
        calls = first_answer(task)
        for place, call in enumerate(task.calls):
            for name, options in call["accepted"].items():
                for value in other_values(options):
                    tried += 1
                    outcome, _ = judge(task, with_argument(calls, place, name, value), None)
                    if outcome != "refuted":
                        accepted_wrongly.append((question, name, value))
            for name in (name for name, options in call["accepted"].items() if "" not in options):
                without = json.loads(json.dumps(calls))
                del without[place]["arguments"][name]
                assert judge(task, without, None)[0] == "refuted", (question, name)
        assert judge(task, [*calls, calls[0]], tools)[1] in (
            "tool_calls_surplus",
            "tool_call_invalid_arguments",
        )
        assert judge(task, calls[1:], None)[1] == "tool_calls_missing"

    assert tried > 5000
    assert accepted_wrongly == []


# Puzzles

DIFFERENT_FROM_THE_FILE = {
    # The scorer gives full marks to either word.
    "game_of_life_halting": Counter(refuted=32),
    # The scorer allows one unit in a place that the exact answer has.
    "decimal_arithmetic": Counter(refuted=5),
    # The file was scored before scientific notation such as 1.00e+0 was understood.
    "power_function": Counter(verified=5),
}
"""Answers of QwQ that are judged otherwise than the file scores them, by data set and verdict."""


def test_qwqs_answers_score_as_the_file_says_where_the_scorer_needs_no_metadata(shared_data: Path) -> None:
    judged: Counter[str] = Counter()
    different: dict[str, Counter[str]] = {}
    for row in read_jsonl(shared_data / "reasoning/reasoning_gym_qwq32b.jsonl.gz"):
        entry = {"question": row["question"], "answer": row["expected_answer"], "metadata": {}}
        task = PuzzleTask(row["dataset"], entry)
        found = puzzles.check(task, f"<answer>{row['model_answer'] or ''}</answer>", 5)
        judged[found.reason] += 1
        if found.outcome == Outcome.FAILED:
            continue
        if (found.outcome == Outcome.VERIFIED) != (row["score"] >= puzzles.FULL_MARKS):
            different.setdefault(row["dataset"], Counter())[found.outcome.value] += 1

    assert different == DIFFERENT_FROM_THE_FILE
    assert judged["puzzle_correct"] + judged["puzzle_wrong_answer"] + judged["puzzle_no_answer"] == 8030
    # What is left lacks the metadata that its scorer asks for, or is prose where the scorer would evaluate a list.
    assert judged["puzzle_not_scored"] == 9
    assert set(judged) == {
        "puzzle_correct", "puzzle_wrong_answer", "puzzle_no_answer", "puzzle_not_usable", "puzzle_not_scored",
    }  # fmt: skip


NO_PUZZLES_OF_ITS_OWN = {"composite"}
"""A mixture of other data sets, whose entries are scored under their own names."""
WITHOUT_AN_ANSWER = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}
"""Data sets whose puzzles come without an answer of their own: many are right, and the scorer tries them."""
CHANGES_NOTHING = {
    # 7.0 + 4.0j, 12.0 for 12.00, 0. for 0.0, 3 significant figures where three are asked for,
    # another name for the constant of integration, and 99 for "99 days" say the same.
    "complex_arithmetic", "decimal_arithmetic", "decimal_chain_sum", "polynomial_equations", "power_function",
    "pool_matrix", "time_intervals", "simple_integration", "intermediate_integration", "number_format",
    # A probability rounded to four places or more, and floats of a program's output.
    "coin_flip", "codeio",
}  # fmt: skip
"""Data sets in which a changed letter can leave the answer right."""
UNSOLVED = {("intermediate_integration", "Integral"), ("ab", "")}
"""Answers of the data sets themselves that are none: an integral left as it was, and an empty text."""


def fresh(dataset: str, count: int) -> list[Row]:
    """Puzzles made from a seed, as rows bring them: through JSON."""
    made = reasoning_gym.create_dataset(dataset, size=count, seed=11)
    return [json.loads(json.dumps(made[number], default=str)) for number in range(count)]


def changed(answer: str, chance: random.Random) -> list[str]:
    """Answers that differ in one letter or digit, in their end, or by a word."""
    places = [place for place, character in enumerate(answer) if character.isalnum()]
    found = [answer + "7", f"not {answer}", " ".join(answer.split()[:-1])]
    for place in chance.sample(places, min(2, len(places))):
        old = answer[place]
        new = (
            str((int(old) + 1 + chance.randrange(8)) % 10) if old.isdecimal() else "q" if old != "q" else "k"
        )
        found.append(answer[:place] + new + answer[place + 1 :])
    return [text for text in found if text.strip() and text.split() != answer.split()]


@pytest.mark.parametrize("dataset", sorted(set(DATASETS) - WITHOUT_AN_ANSWER - NO_PUZZLES_OF_ITS_OWN))
def test_a_puzzles_own_answer_verifies_and_changed_ones_are_refuted(dataset: str) -> None:
    chance = random.Random(1)
    wrongly = []
    for entry in fresh(dataset, 3):
        task, answer = PuzzleTask(dataset, entry), entry["answer"]
        if any(name == dataset and (part in answer if part else not answer) for name, part in UNSOLVED):
            continue
        assert puzzles.check(task, f"<answer>{answer}</answer>", 20).reason == "puzzle_correct", answer
        wrongly += [
            (answer[-60:], text[-60:])
            for text in changed(answer, chance)
            if puzzles.check(task, f"<answer>{text}</answer>", 20).outcome == Outcome.VERIFIED
        ]

    assert wrongly == [] or dataset in CHANGES_NOTHING


# Thoughts


def test_true_gsm8k_solutions_are_consistent_but_for_the_wrong_sums_in_them(shared_data: Path) -> None:
    source = Source(name="gsm8k", path=str(shared_data / "math/gsm8k_train.jsonl"))
    samples = [parse_row(row, source, number) for number, row in read_rows(source)]

    rejected = [
        found.detail
        for sample in samples
        if (found := consistency.check(sample.answer.reasoning or "", sample.answer.content)).outcome
        != "verified"
    ]

    # Each is a slip in the published solution, such as 50 - 8 = 44.
    assert len(rejected) == 21
    assert all(" = " in detail for detail in rejected)


def test_published_solutions_go_in_no_circles_and_are_english(shared_data: Path) -> None:
    settings = ThinkSettings(language="en")
    for name, field in (("math/math500.jsonl", "solution"), ("math/gsm8k_test.jsonl", "answer")):
        for row in read_jsonl(shared_data / name):
            sample = Sample("1", "test", [Message("user", "?"), Message("assistant", "4", row[field])])
            assert think_format.check(sample, settings).reason == "think_ok", row[field]
