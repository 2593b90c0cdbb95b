"""What becomes of a prompt on which the model thinks anew, up to a budget."""

import msgspec
import pytest

from data_filters.samples import Message, Sample
from hermes_train.evaluation.thoughts import ThoughtOutcome, ThoughtSampler
from hermes_train.recipe.training_sections import LengthControl

BUDGET = 12
OUTCOMES = {
    "short": ThoughtOutcome.CLOSED,
    "long": ThoughtOutcome.CLOSED_BY_FORCE,
    "at once": ThoughtOutcome.NOT_OPENED,
    "ends inside": ThoughtOutcome.ENDED_OPEN,
    "rambles": ThoughtOutcome.ANSWER_UNFINISHED,
    "silent": ThoughtOutcome.ANSWER_EMPTY,
}


def problem(name):
    return msgspec.convert(
        {"id": name, "source": "s", "messages": [{"role": "user", "content": name}]}, Sample
    )


def sampler(taught):
    control = LengthControl(budget=BUDGET, answer_tokens=8, temperature=0.1)
    return ThoughtSampler(taught.model, taught.maker, control, seed=0)


@pytest.fixture(scope="module")
def sampled(taught):
    return sampler(taught).sample([problem(name) for name in OUTCOMES])


def test_every_prompt_has_one_outcome_in_the_order_of_the_prompts(sampled):
    assert {thought.id: thought.outcome for thought in sampled} == OUTCOMES
    assert sampled[0].thought_tokens == len("ab")
    assert [thought.outcome for thought in sampled if thought.outcome.passed_budget] == [
        ThoughtOutcome.CLOSED_BY_FORCE,
        ThoughtOutcome.ANSWER_UNFINISHED,
        ThoughtOutcome.ANSWER_EMPTY,
    ]


def test_an_unfinished_thought_is_cut_at_exactly_the_budget_and_answered_by_the_model(sampled):
    (row,) = [thought.sample for thought in sampled if thought.sample]

    assert (row.answer.reasoning, row.answer.content) == ("ab" * 6, "cut")
    assert len(row.answer.reasoning) == BUDGET, "a token is a byte here"
    assert row.messages[:-1] == problem("long").messages


def test_only_the_closing_tag_and_the_end_token_of_such_a_row_are_labelled(sampled, taught):
    (row,) = [thought.sample for thought in sampled if thought.sample]

    ((_, document),) = taught.maker.results([row], "expand")

    labelled = document.labels[document.labels >= 0].tolist()
    assert taught.maker.tokenizer.convert_ids_to_tokens(labelled) == ["</think>", taught.end]


def test_a_conversation_that_the_template_cannot_show_is_told_apart(taught):
    broken = problem("long")
    call = {"function": {"name": "f", "arguments": "{"}}
    broken.messages.append(Message("assistant", "", tool_calls=[call]))

    (found,) = sampler(taught).sample([broken])

    assert found.outcome is ThoughtOutcome.NOT_RENDERED
