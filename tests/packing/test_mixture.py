import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import Mode
from hermes_train.packing.mixture import Part, mix


def chosen_tokens(sources, modes, tokens, parts, think_share=None, seed=0):
    identities = [f"row {number}" for number in range(len(tokens))]
    chosen = mix(identities, sources, modes, np.asarray(tokens), parts, think_share, seed)
    return chosen, np.asarray(tokens)[chosen]


def test_shares_decide_the_proportion_of_tokens():
    sources = ["math"] * 1000 + ["chat"] * 1000
    parts = {"math": Part(0.75, 1.0), "chat": Part(0.25, 1.0)}

    chosen, tokens = chosen_tokens(sources, [Mode.DIRECT] * 2000, [10] * 2000, parts)

    math_tokens = tokens[chosen < 1000].sum()
    assert abs(math_tokens / tokens.sum() - 0.75) < 0.01
    assert math_tokens == 10_000, "the scarcer source is used up"


def test_the_think_share_thins_the_mode_that_has_too_many_tokens():
    modes = [Mode.THINK] * 500 + [Mode.DIRECT] * 500
    tokens = [50] * 500 + [10] * 500

    chosen, picked = chosen_tokens(["a"] * 1000, modes, tokens, {"a": Part(None, 1.0)}, think_share=0.6)

    think = picked[chosen < 500].sum()
    assert abs(think / picked.sum() - 0.6) < 0.01
    assert picked[chosen >= 500].sum() == 5000, "the scarcer mode is used up"


def test_epochs_repeat_whole_sources_and_the_same_part_of_them():
    chosen, _ = chosen_tokens(["a"] * 10, [Mode.DIRECT] * 10, [1] * 10, {"a": Part(None, 2.5)})

    counts = np.bincount(chosen, minlength=10)
    assert sorted(counts.tolist()) == [2] * 5 + [3] * 5


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60), st.integers(0, 5))
def test_the_choice_of_a_document_does_not_depend_on_the_order_of_documents(tokens, seed):
    names = [f"row {number}" for number in range(len(tokens))]
    modes = [Mode.THINK if number % 2 else Mode.DIRECT for number in range(len(tokens))]
    parts = {"a": Part(None, 1.0)}
    turned = list(reversed(range(len(tokens))))

    forward = mix(names, ["a"] * len(tokens), modes, np.asarray(tokens), parts, 0.5, seed)
    backward = mix(
        [names[i] for i in turned],
        ["a"] * len(tokens),
        [modes[i] for i in turned],
        np.asarray(tokens)[turned],
        parts,
        0.5,
        seed,
    )

    assert {names[i] for i in forward} == {names[turned[i]] for i in backward}
