"""What the hybrid stage draws, and that it is drawn by the rows themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_filters.errors import UserError
from data_filters.files import write_jsonl
from data_filters.samples import Message, Sample
from data_filters.segments import plan_file
from hermes_train.packing.hybrid import (
    Thoughts,
    ThoughtsTask,
    count_pairable,
    draw_rows,
    find_thoughts,
    first_tokens,
    hybrid_tasks,
    plan_hybrid,
    purpose_seed,
)
from hermes_train.packing.shards import identity_hash
from hermes_train.recipe.schema import PackSection
from hermes_train.recipe.training_sections import LengthControl


def row(number, thought):
    return Sample(
        f"t{number}", "s", [Message("user", f"q{number}"), Message("assistant", f"a{number}", thought)]
    )


def control(budget=5, thoughts="kept", **settings):
    return LengthControl(budget=budget, thoughts=thoughts, **settings)


class Words:
    """The plan of the documents. It takes words for tokens: the arithmetic of budgets needs no tokenizer."""

    pack, seed = PackSection(length=512), 0

    def __init__(self):
        self.counted = []

    def maker(self):
        return self

    def count_tokens(self, texts):
        self.counted += texts
        return [len(text.split()) for text in texts]

    def tokenizer(self, text, **_):
        words = text.split(" ")
        starts = np.cumsum([0, *(len(word) + 1 for word in words[:-1])])
        return {"offset_mapping": [(int(start), int(start)) for start in starts]}


def thoughts(count, long=(), first=0, asked=None):
    rows = np.arange(first, first + count)
    hashes = np.asarray([identity_hash(f"t{number}") for number in rows], np.uint64)
    asked = rows if asked is None else list(asked)
    return Thoughts(rows, hashes, np.isin(rows, list(long)), np.isin(rows, asked))


def test_the_plan_gives_each_kind_its_share_of_the_whole():
    plan = plan_hybrid(problems=35, replay_share=0.2, length_share=0.1)

    assert (plan.paired_problems, plan.replay, plan.length_control) == (35, 20, 10)


def test_rows_with_a_thought_are_found_with_their_numbers_and_whether_they_exceed_the_budget(tmp_path):
    texts = ["one two three", None, "one two three four five six", "extraordinarily long words"]
    write_jsonl(tmp_path / "kept.jsonl", [row(number, text) for number, text in enumerate(texts)])
    (segment,) = plan_file(tmp_path / "kept.jsonl", 1000, 10)
    words = Words()

    found = find_thoughts(ThoughtsTask(words, segment, control(5, sources=["t"])))

    assert found.rows.tolist() == [0, 2, 3]
    assert found.hashes.tolist() == [identity_hash(f"t{number}") for number in (0, 2, 3)]
    assert found.past_budget.tolist() == [False, True, False]
    assert found.asked.tolist() == [False, False, False]
    assert find_thoughts(ThoughtsTask(words, segment, control(5, sources=["s"]))).asked.all()


def test_a_thought_with_fewer_bytes_than_the_budget_has_tokens_is_not_tokenised(tmp_path):
    write_jsonl(tmp_path / "kept.jsonl", [row(0, "short"), row(1, "a longer thought")])
    (segment,) = plan_file(tmp_path / "kept.jsonl", 1000, 10)
    words = Words()

    find_thoughts(ThoughtsTask(words, segment, control(10)))

    assert words.counted == ["a longer thought"]


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 3))
@settings(deadline=None)
def test_the_draw_does_not_depend_on_how_the_rows_were_cut(count, cut, seed):
    cut = min(cut, count)
    long = range(0, count, 3)
    plan = plan_hybrid(10, 0.2, 0.2)

    whole = draw_rows([thoughts(count, long)], plan, control(trained="whole_thought"), seed)
    found = [thoughts(count - cut, long, first=cut), thoughts(cut, long)]
    parts = draw_rows(found, plan, control(trained="whole_thought"), seed)

    assert [part.tolist() for part in whole.parts] == [part.tolist() for part in parts.parts]
    assert len(whole.paired) == min(10, count)
    assert set(whole.cut.tolist()) <= set(long)


def test_pairs_and_cuts_are_drawn_apart():
    all_long = [thoughts(1000, range(1000))]
    drawn = draw_rows(all_long, plan_hybrid(100, 0.0, 1 / 3), control(trained="whole_thought"), 0)

    assert len(drawn.paired) == len(drawn.cut) == 100
    assert 0 < len(set(drawn.paired.tolist()) & set(drawn.cut.tolist())) < 50
    assert purpose_seed(0, "paired") != purpose_seed(0, "cut")


def test_a_budget_that_no_thought_reaches_is_an_error_that_names_it():
    with pytest.raises(UserError, match="budget is 9 tokens, but none of the 4 kept thoughts is longer"):
        draw_rows([thoughts(4)], plan_hybrid(2, 0.0, 0.2), control(9), 0)


def test_no_thought_at_all_is_an_error():
    with pytest.raises(UserError, match="no kept row has a thought"):
        draw_rows([thoughts(0)], plan_hybrid(2, 0.0, 0.0), None, 0)


def test_each_drawn_row_belongs_to_the_task_of_its_segment(tmp_path):
    write_jsonl(tmp_path / "kept.jsonl", [row(number, "x " * 9) for number in range(100)])
    segments = plan_file(tmp_path / "kept.jsonl", 10, 100)
    drawn = draw_rows([thoughts(100, range(0, 100, 2))], plan_hybrid(12, 0.0, 0.2), control(), 0)

    tasks = hybrid_tasks(Words(), segments, drawn, control(), tmp_path, 64)

    assert [task.shard.number for task in tasks] == list(range(len(tasks)))
    for name in ("paired", "cut"):
        placed = [int(number) for task in tasks for number in getattr(task.drawn, name)]
        assert placed == getattr(drawn, name).tolist()
    for task in tasks:
        first = task.shard.segment.number
        assert all(first <= number < first + 10 for number in [*task.drawn.paired, *task.drawn.cut])


def test_a_cut_thought_has_the_words_of_its_budget():
    assert first_tokens("one two three four", 2, Words()) == "one two"


def test_no_thought_past_the_budget_is_paired_unless_whole_thoughts_are_trained():
    found, plan = [thoughts(40, range(20))], plan_hybrid(30, 0.0, 0.1)

    guarded = draw_rows(found, plan, control(), 0)
    unguarded = draw_rows(found, plan, control(trained="whole_thought"), 0)

    assert guarded.paired.tolist() == list(range(20, 40))
    assert len(unguarded.paired) == 30
    assert set(guarded.cut.tolist()) <= set(range(20))


def test_only_thoughts_that_may_be_trained_are_counted_as_problems_to_pair():
    found = [thoughts(40, range(20)), thoughts(0), thoughts(10, range(45, 50), first=40)]

    assert count_pairable(found, control()) == 25
    assert count_pairable(found, control(trained="whole_thought")) == 50
    assert count_pairable(found, None) == 50


def test_kept_thoughts_of_which_none_is_within_the_budget_are_refused():
    with pytest.raises(UserError, match=r"each of the 3 kept thoughts is longer .* raise the budget"):
        draw_rows([thoughts(3, range(3))], plan_hybrid(2, 0.0, 0.2), control(), 0)


def test_prompts_to_think_on_anew_are_of_the_named_sources_whatever_their_own_thoughts():
    found, plan = [thoughts(40, range(5), asked=range(10))], plan_hybrid(5, 0.0, 0.1)

    drawn = draw_rows(found, plan, control(thoughts="sampled", prompts=8, sources=["hard"]), 0)

    assert len(drawn.prompts) == 8
    assert set(drawn.prompts.tolist()) <= set(range(10))
    assert len(drawn.cut) == 0
    with pytest.raises(UserError, match="no kept row of these has a thought"):
        draw_rows([thoughts(3, asked=())], plan, control(thoughts="sampled", sources=["hard"]), 0)


def test_a_share_of_nothing_asks_for_no_prompt():
    drawn = draw_rows([thoughts(9)], plan_hybrid(5, 0.0, 0.0), control(thoughts="sampled", share=0.0), 0)

    assert len(drawn.prompts) == len(drawn.cut) == 0
