"""Pairs as tokens: the same bytes for any number of workers, the prompt once, and what is left out is counted."""

import numpy as np
import pytest
from datasets import Dataset

from data_filters.samples import Message, Mode, Pair
from hermes_train.chat.problems import Problem
from hermes_train.packing.preferences import tokenized_pairs, write_pairs
from hermes_train.packing.rows import MakerPlan, started_workers
from hermes_train.recipe.load import load_recipe

LONGEST = 400
TOO_LONG = 3


@pytest.fixture(scope="module")
def plan(packed_runs, smoke):
    recipe = load_recipe(smoke, []).recipe
    return MakerPlan(packed_runs / "smoke" / "prepare" / "model", recipe.model, recipe.pack, recipe.seed)


def pair(number, words=3):
    thinks = number % 2 == 0
    answers = (
        Message("assistant", f"{text} {number}", "so " * words if thinks else None) for text in ("Yes", "No")
    )
    return Pair(
        f"pair/{number}",
        "trace",
        Mode.THINK if thinks else Mode.DIRECT,
        [Message("user", f"Is it {number}?")],
        *answers,
    )


@pytest.fixture(scope="module")
def pairs():
    """Enough for several batches; some have thoughts that are too long."""
    return [
        pair(number, words=500 if number < 2 * TOO_LONG and number % 2 == 0 else 3) for number in range(601)
    ]


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_pairs_give_the_same_bytes_for_any_number_of_workers(plan, pairs, tmp_path):
    for count in (1, 2):
        with started_workers(count) as workers:
            done = write_pairs(iter(pairs), plan, LONGEST, 4, tmp_path / str(count), workers)
        assert done.dropped == {Problem.TOO_LONG: TOO_LONG}
        assert done.found == 601 - TOO_LONG
        assert done.by_kind == {"trace": 596}, "the two over a multiple of four are left out"

    assert content(tmp_path / "1") == content(tmp_path / "2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"], "nothing is left beside them"
    written = Dataset.load_from_disk(str(tmp_path / "1"))
    fitting = [
        pair.id for pair in pairs if int(pair.id.removeprefix("pair/")) not in range(0, 2 * TOO_LONG, 2)
    ]
    assert written["id"][:] == fitting[:596]


def test_fewer_pairs_than_a_step_needs_are_not_written(plan, tmp_path):
    with started_workers(1) as workers:
        done = write_pairs([pair(1)], plan, LONGEST, 4, tmp_path / "pairs", workers)

    assert done.found == 1 and not done.by_kind
    assert list(tmp_path.iterdir()) == []


def test_the_prompt_is_kept_once_and_an_answer_ends_its_turn(plan):
    maker = plan.maker()

    (row,), _ = tokenized_pairs([pair(1)], maker, LONGEST)

    decode = maker.tokenizer.decode
    assert decode(row["chosen_ids"]) == "Yes 1<|eot_id|>"
    assert decode(row["rejected_ids"]) == "No 1<|eot_id|>"
    assert decode(row["prompt_ids"]).endswith("<|start_header_id|>assistant<|end_header_id|>\n\n")
    assert np.count_nonzero(np.array(row["prompt_ids"]) == maker.tokenizer.bos_token_id) == 1
