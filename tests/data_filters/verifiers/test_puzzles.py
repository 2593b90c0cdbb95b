"""Puzzles are scored by the data set that made them, and more strictly where that is too lax."""

import json
import time
from typing import Any

import pytest
import reasoning_gym
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import Check, Outcome, PuzzleTask
from data_filters.verifiers import puzzles
from data_filters.verifiers.puzzles import puzzle_answer


def entry(dataset: str, seed: int = 7) -> dict[str, Any]:
    """A puzzle as a row brings it: through JSON."""
    made = reasoning_gym.create_dataset(dataset, size=1, seed=seed)[0]
    return dict(json.loads(json.dumps(made, default=str)))


ENTRY = entry("chain_sum")
TASK = PuzzleTask("chain_sum", ENTRY)


def check(task: PuzzleTask, content: str, seconds: float = 5) -> Check:
    return puzzles.check(task, content, seconds)


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "<answer>{}</answer>",
        r"The answer is $\boxed{{{}}}$.",
        "#### {}",
        "<answer>\n```\n{}\n```\n</answer>",
    ],
)
def test_a_right_answer_is_verified_in_each_form(form: str) -> None:
    assert check(TASK, form.format(ENTRY["answer"])).reason == "puzzle_correct"


def test_a_wrong_answer_is_refuted() -> None:
    assert check(TASK, str(int(ENTRY["answer"]) + 1)).reason == "puzzle_wrong_answer"


@pytest.mark.parametrize("text", ["", "  ", "<answer> </answer>"])
def test_an_answer_without_text_is_none(text: str) -> None:
    assert check(TASK, text).reason == "puzzle_no_answer"


@pytest.mark.parametrize(
    "task",
    [
        PuzzleTask("no_such_puzzle", {}),
        PuzzleTask("composite", {}),
        PuzzleTask("countdown", {"answer": "1", "metadata": {}}),
        PuzzleTask("group_anagrams", {"answer": "[]", "metadata": {}}),
    ],
)
def test_a_puzzle_that_cannot_be_scored_failed_and_refutes_nothing(task: PuzzleTask) -> None:
    found = check(task, '[["a"]]' if task.dataset == "group_anagrams" else "4")

    assert (found.outcome, found.reason) == (Outcome.FAILED, "puzzle_not_usable")


def test_an_entry_that_breaks_the_scorer_failed_and_refutes_nothing() -> None:
    found = check(PuzzleTask("chain_sum", {}), "4")

    assert (found.outcome, found.reason) == (Outcome.FAILED, "puzzle_scorer_crashed")


def test_the_last_tagged_answer_counts() -> None:
    assert puzzle_answer("<answer>1</answer> no: <answer> 2 </answer>") == "2"


@given(st.text(alphabet="<answer>/ 12`\n\\boxed{}", max_size=80))
def test_an_answer_is_found_in_any_text_without_an_error(text: str) -> None:
    assert isinstance(puzzle_answer(text), str)


@pytest.mark.parametrize(
    ("dataset", "wrong"),
    [
        ("game_of_life_halting", lambda right: "False" if right == "True" else "True"),
        ("spell_backward", lambda right: right + "7"),
        ("knights_knaves", lambda right: "not " + right),
        ("number_sorting", lambda right: right.replace("1", "2", 1)),
        ("decimal_arithmetic", lambda right: right[:-1] + str((int(right[-1]) + 1) % 10)),
        ("quantum_lock", lambda right: right + " or so"),
        ("survo", lambda right: "not " + right),
        ("time_intervals", lambda right: right.replace("day", "year") if "day" in right else right + "9"),
    ],
)
def test_where_a_scorer_is_too_lax_a_rule_of_our_own_refutes(dataset: str, wrong: Any) -> None:
    puzzle = entry(dataset)

    assert (
        check(PuzzleTask(dataset, puzzle), f"<answer>{puzzle['answer']}</answer>").reason == "puzzle_correct"
    )
    changed = check(PuzzleTask(dataset, puzzle), f"<answer>{wrong(puzzle['answer'])}</answer>")
    assert changed.reason == "puzzle_wrong_answer"


@pytest.mark.parametrize(
    ("dataset", "numbers", "target", "text", "reason"),
    [
        ("puzzle24", [5, 5, 10, 4], 24, "5 + 5 + 10 + 4", "puzzle_correct"),
        ("puzzle24", [5, 5, 10, 4], 24, "6 * 4 + 0 * 5", "puzzle_wrong_answer"),
        ("puzzle24", [5, 5, 10, 4], 24, "2 + 9 + 6 + 7", "puzzle_wrong_answer"),
        ("puzzle24", [1, 1, 7, 7], 24, "7 * 7 / (1 + 1)", "puzzle_wrong_answer"),
        ("countdown", [3, 7, 25], 54, "(25 - 7) * 3", "puzzle_correct"),
        ("countdown", [3, 7, 25], 54, "50 + 4", "puzzle_wrong_answer"),
        ("countdown", [3, 7, 25], 54, "3 / (7 - 7)", "puzzle_wrong_answer"),
        ("countdown", [3, 7, 25], 54, "9**2", "puzzle_wrong_answer"),
    ],
)
def test_an_arithmetic_game_is_held_to_its_numbers_exactly(
    dataset: str, numbers: list[int], target: int, text: str, reason: str
) -> None:
    task = PuzzleTask(dataset, {"answer": "", "metadata": {"numbers": numbers, "target": target}})

    assert check(task, f"<answer>{text}</answer>").reason == reason


def graph_colours() -> tuple[PuzzleTask, str]:
    """A colouring puzzle, which comes without an answer, and a colouring found by trying."""
    puzzle = entry("graph_color")
    graph = puzzle["metadata"]["puzzle"]
    found: dict[int, int] = {}

    def colour(left: list[int]) -> bool:
        if not left:
            return True
        for option in graph["color_options"]:
            if all(
                found.get(b if a == left[0] else a) != option for a, b in graph["edges"] if left[0] in (a, b)
            ):
                found[left[0]] = option
                if colour(left[1:]):
                    return True
                del found[left[0]]
        return False

    assert colour(list(graph["vertices"]))
    return PuzzleTask("graph_color", puzzle), json.dumps(found)


def test_a_puzzle_without_an_answer_is_still_scored() -> None:
    task, right = graph_colours()
    one_colour = json.dumps(dict.fromkeys(json.loads(right), 1))

    assert check(task, f"<answer>{right}</answer>").reason == "puzzle_correct"
    assert check(task, f"<answer>{one_colour}</answer>").reason == "puzzle_wrong_answer"


@pytest.mark.parametrize(
    ("dataset", "answer"),
    [
        ("spiral_matrix", "__import__('os').system('touch {}')"),
        ("n_queens", "[open('{}', 'w')]"),
        ("simple_integration", "__import__('os').system('touch {}')"),
        ("polynomial_multiplication", "x.__class__.__base__.__subclasses__()"),
        ("puzzle24", "__import__('os').system('touch {}')"),
        ("string_insertion", "exec(\"open('{}', 'w')\")"),
    ],
)
def test_an_answer_is_never_run_as_a_program(dataset: str, answer: str, tmp_path: Any) -> None:
    target = tmp_path / "made"

    found = check(
        PuzzleTask(dataset, entry(dataset)), f"<answer>{answer.replace('{}', str(target))}</answer>"
    )

    assert found.outcome != Outcome.VERIFIED
    assert not target.exists()


def test_an_entry_is_never_run_as_a_program(tmp_path: Any) -> None:
    target = tmp_path / "made"
    puzzle = entry("number_sorting") | {"answer": f"[open('{target}', 'w')]"}

    found = check(PuzzleTask("number_sorting", puzzle), '<answer>["1"]</answer>')

    assert found.reason == "puzzle_not_scored"
    assert not target.exists()


@pytest.mark.parametrize(
    ("dataset", "answer"),
    [
        ("polynomial_multiplication", "(x+1)**99999*(x+2)**99999*(x+3)**88888"),
        ("simple_integration", "9**9**9**9"),
        ("bitwise_arithmetic", "1 << 99999999999"),
        ("chain_sum", "9" * 1_000_000),
        ("rubiks_cube", "U " * 4000),
    ],
)
def test_a_hostile_answer_is_answered_in_time_and_the_next_row_is_served(dataset: str, answer: str) -> None:
    check(TASK, "1")
    started = time.perf_counter()

    found = check(PuzzleTask(dataset, entry(dataset)), f"<answer>{answer}</answer>", 1)

    assert time.perf_counter() - started < 3
    assert found.outcome != Outcome.VERIFIED
    assert check(TASK, ENTRY["answer"]).reason == "puzzle_correct"
