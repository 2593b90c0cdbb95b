"""A very small model that was taught what to write to a handful of prompts, so that every way a thought can end is met
by real generation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from data_filters.samples import Message, Mode, Sample
from hermes_train.chat.history import cut_thought
from hermes_train.packing.documents import DocumentMaker, load_maker
from hermes_train.recipe.schema import ModelSection, PackSection, RandomModel, SystemPrompts
from hermes_train.stages.prepare import prepare

SECTION = ModelSection(
    random=RandomModel(hidden_size=64, layers=2),
    template="chatml",
    system=SystemPrompts(think="Think.", direct="At once."),
    dtype="float32",
)
BUDGET = 12
"""Tokens of thought, each of one byte, after which the taught model's longer thoughts are cut."""

_LONG = "<think>\n" + "ab" * 10


@dataclass(frozen=True)
class TaughtModel:
    """The model, how it was prepared, its folder, and what renders and tokenises for it."""

    section: ModelSection
    folder: Path
    model: PreTrainedModel
    maker: DocumentMaker

    @property
    def end(self) -> str:
        """The token that ends its turns."""
        return "<|im_end|>"


def problem(name: str, source: str = "s") -> Sample:
    """A prompt without an answer."""
    return Sample(name, source, [Message("user", name)])


def prefix(maker: DocumentMaker, name: str, thought: str) -> str:
    """What stands before the answer to a thought that was closed by force."""
    row = problem(name)
    row.messages.append(Message("assistant", "x"))
    rendered = maker.renderer.render(cut_thought(row, thought))
    return rendered.text[: rendered.given[-1].start]


def lessons(maker: DocumentMaker, end: str) -> list[tuple[str, str]]:
    """Pairs of a text and what the model is to write after it."""

    def ask(name: str) -> str:
        return maker.renderer.prompt([Message("user", name)], None, Mode.THINK, name)

    cut = "ab" * (BUDGET // 2)
    return [
        (ask("short"), f"<think>\nab\n</think>\nyes{end}"),
        (ask("at once"), f"no{end}"),
        (ask("ends inside"), f"<think>\nab{end}"),
        (ask("long"), _LONG),
        (ask("rambles"), _LONG),
        (ask("silent"), _LONG),
        (prefix(maker, "long", cut), f"cut{end}"),
        (prefix(maker, "rambles", cut), "and so on " * 2),
        (prefix(maker, "silent", cut), end),
    ]


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> TaughtModel:
    """The taught model."""
    folder = tmp_path_factory.mktemp("taught")
    prepare(SECTION, 0, folder)
    folder = folder / "model"
    maker = load_maker(folder, SECTION, PackSection(length=512), 0)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = [_labelled(maker, *lesson) for lesson in lessons(maker, "<|im_end|>")]
    _teach(model, rows)
    model.generation_config = GenerationConfig.from_pretrained(folder)
    model.eval().save_pretrained(folder)
    return TaughtModel(SECTION, folder, model, maker)


def _labelled(maker: DocumentMaker, asked: str, answer: str) -> tuple[list[int], list[int]]:
    before, after = maker.tokenizer([asked, answer], add_special_tokens=False)["input_ids"]
    return before + after, [-100] * len(before) + after


def _teach(model: PreTrainedModel, rows: list[tuple[list[int], list[int]]]) -> None:
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
    labels = torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row, _ in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for _ in range(400):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 1e-2:
            return
    raise AssertionError(f"the lessons were not learnt: loss {loss.item()}")
