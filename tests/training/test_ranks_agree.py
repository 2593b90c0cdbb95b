"""Two ranks under ZeRO-3 on CPU give what one process gives."""

import shutil

import pytest

from hermes_train.training.metrics import read_metrics

pytestmark = [pytest.mark.distributed, pytest.mark.long]

PRECISIONS = {"fp32": 1e-4, "bf16": 2e-2}
"""Largest relative difference of a step's loss."""


@pytest.fixture
def losses(hermes_train, smoke):
    """The losses of a stage at a precision on a number of ranks."""

    def train(runs, stage, precision, ranks, *more):
        overrides = [
            part
            for section in ("sft", "hybrid", "dpo")
            for part in ("-o", f"{section}.precision={precision}")
        ]
        done = hermes_train(stage, smoke, "--runs", runs, *overrides, *more, ranks=ranks)
        assert done.returncode == 0, done.stdout + done.stderr
        return [line["loss"] for line in read_metrics(runs / "smoke" / stage / "metrics.jsonl")]

    return train


def largest_difference(one, other):
    assert len(one) == len(other)
    return max(abs(a - b) / abs(a) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_sft_on_two_zero_3_ranks_gives_the_losses_of_one_process(runs, tmp_path, losses, precision):
    shutil.copytree(runs, tmp_path / "two")

    one = losses(runs, "sft", precision, 1)
    two = losses(tmp_path / "two", "sft", precision, 2)

    assert len(one) == 20
    assert largest_difference(one, two) <= PRECISIONS[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_dpo_on_two_zero_3_ranks_gives_the_losses_of_one_process(runs, tmp_path, losses, precision):
    for stage in ("sft", "hybrid"):
        losses(runs, stage, precision, 1)
    shutil.copytree(runs, tmp_path / "two")

    one = losses(runs, "dpo", precision, 1, "-o", "dpo.steps=20")
    two = losses(tmp_path / "two", "dpo", precision, 2, "-o", "dpo.steps=20")

    assert len(one) == 20
    assert largest_difference(one, two) <= PRECISIONS[precision]
