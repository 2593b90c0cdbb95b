"""Sampling with a stream of random numbers for each prompt."""

import pytest
import torch

from data_filters.samples import Message, Mode
from hermes_train.evaluation.generate import (
    Answer,
    Sampling,
    SeededDraw,
    continue_batch,
    encode,
    opens_thought,
    with_opening,
)

ROWS = 4000


def sampling(seeds, temperature=1.0, top_p=1.0, top_k=50):
    return Sampling(temperature, top_p, top_k, seeds)


def shares(scores, **settings):
    """How often each token is drawn from one row of scores, over many seeds."""
    rows = torch.tensor([scores]).expand(ROWS, -1)
    drawn = SeededDraw(sampling(range(ROWS), **settings))(torch.zeros(ROWS, 1, dtype=torch.long), rows)
    assert (drawn.isfinite().sum(-1) == 1).all(), "one token is left to choose from"
    return torch.bincount(drawn.argmax(-1), minlength=len(scores)) / ROWS


def test_tokens_are_drawn_with_their_probabilities():
    scores = [0.0, 1.0, 2.0, -1.0]

    expected = torch.tensor(scores).softmax(-1)

    assert shares(scores) == pytest.approx(expected, abs=0.03)


def test_temperature_top_k_and_top_p_shape_the_draw():
    scores = [0.0, 1.0, 2.0, -1.0]

    assert shares(scores, temperature=0.5) == pytest.approx((torch.tensor(scores) * 2).softmax(-1), abs=0.03)
    assert shares(scores, top_k=2)[[0, 3]].sum() == 0
    assert shares(scores, top_p=0.5)[2] == 1


def test_what_a_prompt_draws_depends_on_its_seed_and_not_on_the_prompts_beside_it(taught):
    def prompt(name):
        return taught.maker.renderer.prompt([Message("user", name)], None, Mode.THINK)

    def drawn(names, seeds):
        # Hot enough for a model that knows its lessons by heart to stray from them.
        settings = sampling(seeds, temperature=4.0)
        prompts = encode(taught.maker.tokenizer, [prompt(name) for name in names])
        return continue_batch(taught.model, prompts, 16, settings)

    (alone,) = drawn(["long"], [7])

    assert drawn(["long"], [7]) == [alone]
    assert drawn(["short", "long", "a question that is longer than that"], [1, 7, 3])[1] == alone
    assert drawn(["long"], [8]) != [alone]


def test_an_answer_ends_with_the_first_token_that_ends_the_turn_or_is_a_stop(taught):
    asked = [taught.maker.renderer.prompt([Message("user", "short")], None, Mode.THINK)]
    close = taught.maker.tokenizer.convert_tokens_to_ids("</think>")

    (whole,) = continue_batch(taught.model, encode(taught.maker.tokenizer, asked), 40)
    (stopped,) = continue_batch(taught.model, encode(taught.maker.tokenizer, asked), 40, stops=[close])

    assert taught.maker.tokenizer.decode(whole) == f"<think>\nab\n</think>\nyes{taught.end}"
    assert stopped == whole[: whole.index(close) + 1]


@pytest.mark.parametrize("settings", [None, sampling([7])])
def test_a_token_that_is_ruled_out_is_not_written_by_a_model_that_would(taught, settings):
    asked = [taught.maker.renderer.prompt([Message("user", "short")], None, Mode.THINK)]
    prompts, close = (
        encode(taught.maker.tokenizer, asked),
        taught.maker.tokenizer.convert_tokens_to_ids("</think>"),
    )

    (free,) = continue_batch(taught.model, prompts, 8, settings)
    (bound,) = continue_batch(taught.model, prompts, 8, settings, never=[close])

    before = free.index(close)
    assert bound[:before] == free[:before]
    assert close not in bound and len(bound) > before


def test_a_tag_that_the_prompt_wrote_counts_as_the_answers_own():
    assert with_opening("assistant\n<think>\n", Answer("so", 1)).text == "<think>\nso"
    assert with_opening("assistant\n", Answer("so", 1)).text == "so"
    assert opens_thought("<think>") and not opens_thought("<think>\n\n</think>\n\n")
