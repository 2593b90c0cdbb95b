"""DPO on packed rows: TRL's losses with the reference model gone, one loss for every split, figures by mode."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import SequentialSampler
from trl import DPOConfig, DPOTrainer

from hermes_train.packing.dataset import step_packs
from hermes_train.packing.preferences import FEATURES
from hermes_train.recipe.training_sections import DpoSection, LoraSection
from hermes_train.training.arguments import dpo_arguments, lora_config
from hermes_train.training.compute.loss import LogitsForm
from hermes_train.training.pairs.pair_batches import PairData, PairRows, collate_row
from hermes_train.training.pairs.pair_loss import token_log_probabilities
from hermes_train.training.pairs.pair_plan import PairLengths, plan_rows, scoring_rows
from hermes_train.training.pairs.pair_trainer import PairTrainer
from hermes_train.training.pairs.reference_scoring import reference_log_probabilities

SEED = 5
LONGEST = 96
STEPS = 5
GLOBAL_BATCH = 8

LOSSES = {
    "sigmoid": {},
    "sigmoid with an SFT term": {"loss": "sigmoid", "sft_weight": 0.3},
    "ipo": {},
    "robust": {"label_smoothing": 0.1},
    "exo_pair": {"label_smoothing": 1e-2},
    "apo_zero": {},
    "nca_pair": {},
    "discopop": {},
}


def section(**more):
    given = {"loss": "sigmoid", "beta": 0.3, "global_batch": GLOBAL_BATCH, "max_length": LONGEST} | more
    return DpoSection(steps=STEPS, learning_rate=2e-4, precision="fp32", **given)


def settings_of_trl(folder: Path, dpo: DpoSection, **more):
    common = {
        "output_dir": str(folder),
        "max_steps": STEPS,
        "learning_rate": 2e-4,
        "lr_scheduler_type": "constant",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "seed": SEED,
    }
    return DPOConfig(**common | dpo_arguments(dpo, 1) | more)


def trained_by_us(tiny, folder: Path, micro_batch: int = 1, **more):
    dpo = section(micro_batch=micro_batch, **more)
    data = PairData(tiny.folder / "pairs", 0)
    plan = plan_rows(data.lengths, SEED, STEPS, GLOBAL_BATCH, 1, micro_batch, 2 * LONGEST * micro_batch)
    trainer = PairTrainer(
        rows=PairRows(data, plan),
        model=tiny.model(),
        args=settings_of_trl(folder, dpo, gradient_accumulation_steps=plan.micro_steps),
        processing_class=tiny.tokenizer(),
        peft_config=lora_config(dpo.lora),
    )
    trainer.references = reference_log_probabilities(
        trainer, data, dpo, tiny.folder / "model", tiny.folder / "references", _Silent()
    )
    trainer.train()
    return trainer


class _Silent:
    def print(self, *_):
        pass


class _GivenOrder(DPOTrainer):
    """TRL's trainer, on rows that are tokenised, in the order in which they stand."""

    def _get_train_sampler(self, train_dataset=None):
        return SequentialSampler(self.train_dataset)

    def _prepare_dataset(self, dataset, *_, **__):
        return dataset


def trained_by_trl(tiny, folder: Path, **more):
    dpo = section(**more)
    order = np.concatenate([step_packs(SEED, step, GLOBAL_BATCH, len(tiny.rows)) for step in range(STEPS)])
    trainer = _GivenOrder(
        model=tiny.model(),
        ref_model=tiny.model(),
        args=settings_of_trl(
            folder, dpo, per_device_train_batch_size=GLOBAL_BATCH, precompute_ref_log_probs=False
        ),
        train_dataset=Dataset.from_list([tiny.rows[number] for number in order], features=FEATURES),
        processing_class=tiny.tokenizer(),
    )
    trainer.train()
    return trainer


def figures(trainer, name):
    return [line[name] for line in trainer.state.log_history if name in line]


@pytest.mark.parametrize("name", LOSSES)
def test_dpo_with_the_cache_equals_trl_with_a_reference_model_in_memory(tiny_pairs, tmp_path, name):
    more = {"loss": name} | LOSSES[name]

    ours, theirs = (
        trained_by_us(tiny_pairs, tmp_path / "ours", **more),
        trained_by_trl(tiny_pairs, tmp_path / "trl", **more),
    )

    assert ours.ref_model is None and theirs.ref_model is not None
    assert figures(ours, "loss") == pytest.approx(figures(theirs, "loss"), rel=1e-5)
    # Sums over an answer are about 200, which float32 holds to 2e-5.
    for figure in ("rewards/chosen", "rewards/rejected", "logps/chosen", "grad_norm"):
        found, expected = figures(ours, figure), figures(theirs, figure)
        assert len(found) == STEPS
        assert found == pytest.approx(expected, rel=5e-5, abs=2e-5), figure
    for (weights, mine), other in zip(ours.model.named_parameters(), theirs.model.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5, msg=weights)


@pytest.mark.parametrize("loss", ["sigmoid", "ipo"])
def test_the_loss_is_the_same_however_many_pairs_a_row_holds(tiny_pairs, tmp_path, loss):
    settings_given = {"loss": loss, "sft_weight": 0.5}

    runs = [
        trained_by_us(tiny_pairs, tmp_path / str(micro), micro_batch=micro, **settings_given)
        for micro in (1, 4, 8)
    ]

    assert len({run.args.gradient_accumulation_steps for run in runs}) == 3
    for run in runs[1:]:
        assert figures(run, "loss") == pytest.approx(figures(runs[0], "loss"), rel=1e-6)


def test_figures_by_mode_add_up_to_those_of_all_pairs(tiny_pairs, tmp_path):
    trainer = trained_by_us(tiny_pairs, tmp_path)

    modes = PairData(tiny_pairs.folder / "pairs", 0).modes
    for step in range(STEPS):
        thinking = modes[step_packs(SEED, step, GLOBAL_BATCH, len(tiny_pairs.rows))].mean()
        line = trainer.state.log_history[step]
        for figure in ("rewards/margins", "rewards/accuracies"):
            both = thinking * line[f"{figure}_think"] + (1 - thinking) * line[f"{figure}_direct"]
            assert both == pytest.approx(line[figure], abs=1e-6)
    assert not any("entropy" in line for line in trainer.state.log_history)


def test_adapters_begin_at_the_reference_and_leave_it_as_it_was(tiny_pairs, tmp_path):
    full = trained_by_us(tiny_pairs, tmp_path / "full")
    adapted = trained_by_us(tiny_pairs, tmp_path / "lora", lora=LoraSection(rank=4))

    assert adapted.references.computed == 0, "the same model and pairs: what the other run computed is found"
    np.testing.assert_array_equal(adapted.references.sums, full.references.sums)
    margins = figures(adapted, "rewards/margins")
    assert margins[0] == pytest.approx(0, abs=1e-5)
    assert margins[-1] > 0.01


@pytest.mark.parametrize("quantised", [False, True], ids=["adapters", "QLoRA"])
def test_adapters_over_bfloat16_are_their_own_float32_masters(tiny_pairs, tmp_path, quantised):
    model = tiny_pairs.model().bfloat16()
    # What makes TRL cast adapters; four bits themselves need a GPU.
    model.is_loaded_in_4bit = quantised
    dpo = section(lora=LoraSection(rank=4))
    data = PairData(tiny_pairs.folder / "pairs", 0)
    trainer = PairTrainer(
        rows=PairRows(data, plan_rows(data.lengths, SEED, STEPS, GLOBAL_BATCH, 1, 1, 2 * LONGEST)),
        model=model,
        args=settings_of_trl(tmp_path, dpo),
        processing_class=tiny_pairs.tokenizer(),
        peft_config=lora_config(dpo.lora),
    )

    assert {p.dtype for p in trainer.model.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in trainer.model.parameters() if not p.requires_grad} == {torch.bfloat16}


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 40),
    vocabulary=st.integers(2, 50),
    scale=st.sampled_from([1.0, 0.25]),
    softcap=st.sampled_from([None, 3.0]),
    bias=st.booleans(),
    chunk=st.integers(1, 40),
)
def test_chunked_log_probabilities_and_their_gradients_are_those_of_the_whole(
    rows, vocabulary, scale, softcap, bias, chunk
):
    draw = torch.Generator().manual_seed(rows * 1000 + vocabulary)
    given_tensors = [
        torch.randn(shape, generator=draw, dtype=torch.float32).requires_grad_()
        for shape in ((rows, 6), (vocabulary, 6), *([(vocabulary,)] if bias else []))
    ]
    tokens = torch.randint(vocabulary, (rows,), generator=draw)
    weights = torch.randn(rows, generator=draw)
    form = LogitsForm(scale, softcap)
    states, head, offset = (*given_tensors, None)[:3]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "hermes_train.training.compute.loss.CHUNK_BYTES", {"cpu": 4 * vocabulary * chunk, "cuda": 1}
        )
        found = token_log_probabilities(states, head, offset, tokens, form)
        gradients = torch.autograd.grad(found @ weights, given_tensors)

    logits = form.apply(torch.nn.functional.linear(states, head, offset))
    expected = torch.log_softmax(logits, -1).gather(1, tokens[:, None])[:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(gradients, torch.autograd.grad(expected @ weights, given_tensors), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_logits_are_not_rounded_to_the_weights_dtype():
    states, head = torch.full((1, 2), 8.0), torch.tensor([[1.0, 1.0], [1.0, 1.0078125]])
    tokens = torch.tensor([1])

    found = token_log_probabilities(states.bfloat16(), head.bfloat16(), None, tokens, LogitsForm())

    # 16 and 16.0625 are one number in bfloat16.
    assert found.item() == pytest.approx(
        torch.log_softmax(torch.tensor([16.0, 16.0625]), 0)[1].item(), rel=1e-6
    )


lengths_strategy = st.lists(
    st.tuples(st.integers(1, 20), st.integers(1, 40), st.integers(1, 40)), min_size=16, max_size=60
)


def lengths_of(given_lengths):
    return PairLengths(*np.array(given_lengths, np.int64).T)


@settings(max_examples=60, deadline=None)
@given(lengths_strategy, st.sampled_from([1, 2, 4]), st.sampled_from([1, 2]), st.integers(0, 3))
def test_each_step_holds_its_pairs_once_in_rows_that_fit(given_lengths, ranks, micro_batch, seed):
    lengths, capacity = lengths_of(given_lengths), micro_batch * 2 * 60

    plan = plan_rows(lengths, seed, 3, 8, ranks, micro_batch, capacity)

    for step, pairs in enumerate(plan.pairs):
        assert sorted(pairs.ravel()) == sorted(step_packs(seed, step, 8, len(lengths)))
    assert (lengths.tokens[plan.pairs].sum(axis=-1) <= plan.row_lengths).all()
    assert plan.row_lengths.max() < capacity + 64
    assert len(np.unique(plan.row_lengths)) <= 8
    assert plan.pairs.shape[1] == ranks * plan.micro_steps
    assert plan.pairs.shape[2] >= micro_batch


@settings(max_examples=60, deadline=None)
@given(lengths_strategy, st.sampled_from([1, 2, 3]), st.sampled_from([1, 2]))
def test_scoring_rows_give_every_rank_as_many_rows_and_leave_no_pair_out(given_lengths, ranks, micro_batch):
    lengths, capacity = lengths_of(given_lengths), micro_batch * 2 * 60
    pairs = np.arange(3, len(lengths))

    rows = scoring_rows(lengths, pairs, ranks, micro_batch, capacity)

    assert set(rows.ravel()) == set(pairs)
    assert len(rows) % ranks == 0
    assert lengths.tokens[rows].sum(axis=1).max() <= capacity


def test_rows_fill_better_than_padding_each_pair_to_its_longer_side(tiny_pairs):
    lengths = PairData(tiny_pairs.folder / "pairs", 0).lengths

    plan = plan_rows(lengths, SEED, STEPS, GLOBAL_BATCH, 1, 4, 4 * 2 * LONGEST)

    longer = lengths.prompts + np.maximum(lengths.chosen, lengths.rejected)
    assert plan.fill(lengths) > 0.85 > lengths.tokens.sum() / (2 * longer).sum()


def test_a_row_keeps_documents_apart_and_labels_the_answers_alone(tiny_pairs):
    data = PairData(tiny_pairs.folder / "pairs", 0)
    pairs = tiny_pairs.rows

    batch = collate_row([data.row([4, 9], 4 * LONGEST)])

    row, edges = batch["row"], batch["row"]["cu_seq_lens_q"].tolist()
    sides = [
        pairs[4]["chosen_ids"],
        pairs[9]["chosen_ids"],
        pairs[4]["rejected_ids"],
        pairs[9]["rejected_ids"],
    ]
    prompts = [pairs[number]["prompt_ids"] for number in (4, 9, 4, 9)]
    for place, (prompt, answer) in enumerate(zip(prompts, sides, strict=True)):
        document = slice(edges[place], edges[place + 1])
        assert row["input_ids"][0, document].tolist() == prompt + answer
        assert row["labels"][0, document].tolist() == [-100] * len(prompt) + answer
        assert row["position_ids"][0, document].tolist() == list(range(len(prompt) + len(answer)))
        line = batch["input_ids"][place][batch["completion_mask"][place].bool()]
        assert line.tolist() == answer
    assert (row["labels"][0, edges[4] :] == -100).all()
