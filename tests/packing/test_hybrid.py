import pytest

from data_filters.errors import UserError
from data_filters.samples import Message, Mode, Sample
from hermes_train.packing.hybrid import closed_at_budget, paired, plan_hybrid


def think(number, thought="one two three four"):
    messages = [Message("user", f"q{number}"), Message("assistant", f"a{number}", reasoning=thought)]
    return Sample(f"t{number}", "s", messages)


class Words:
    """Counts words as tokens: the arithmetic of budgets needs no tokenizer."""

    def count_tokens(self, texts):
        return [len(text.split()) for text in texts]


def test_every_paired_problem_comes_with_a_thought_and_at_once():
    samples = [think(number) for number in range(9)]

    rows = list(paired(samples, 4, seed=0))

    assert len(rows) == 8
    for thinking, direct in zip(rows[::2], rows[1::2], strict=True):
        assert (thinking.mode, direct.mode) == (Mode.THINK, Mode.DIRECT)
        assert thinking.prompt == direct.prompt
        assert thinking.answer.content == direct.answer.content


def test_the_plan_gives_each_kind_its_share_of_the_whole():
    plan = plan_hybrid(problems=35, replay_share=0.2, length_share=0.1)

    assert (plan.paired_problems, plan.replay, plan.length_control) == (35, 20, 10)


def test_a_budget_that_no_thought_reaches_is_an_error_that_names_both_numbers():
    with pytest.raises(UserError, match="budget is 9 tokens, but the longest kept thought has 4"):
        closed_at_budget([think(1)], 1, 9, 0, Words())
