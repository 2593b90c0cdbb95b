"""export: the finished model in shards, with its card; opened again as a user would, and asked in both modes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import torch
from huggingface_hub import save_torch_state_dict
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from data_filters.files import read_jsonl, write_folder_whole
from data_filters.samples import Mode, Sample
from hermes_train.evaluation.generate import generate
from hermes_train.recipe.schema import EvaluateSection, ExportSection
from hermes_train.runs import RunFailedError

_CARD = Path(__file__).parent / "model_card.md.jinja"


@dataclass(frozen=True)
class CardFacts:
    """What the model card says beside the weights."""

    name: str
    description: str
    base: str
    recipe_yaml: str
    funnel: dict[str, Any]
    scores: dict[str, dict[str, Any]]
    """By model (base, sft, hybrid, dpo), then by mode."""


class ExportError(RunFailedError):
    """The exported model is not the trained one."""


def export_model(
    section: ExportSection,
    evaluate: EvaluateSection,
    trained: Path,
    problems_file: Path,
    facts: CardFacts,
    folder: Path,
) -> dict[str, Any]:
    """Write `folder/model`, open it with plain transformers, compare it and chat with it. Raises ExportError."""
    model = AutoModelForCausalLM.from_pretrained(trained, dtype="auto", trust_remote_code=False)
    destination = folder / "model"
    _write(model, trained, destination, section, facts)
    tensors = _compare(model, destination)
    reopened = AutoModelForCausalLM.from_pretrained(destination, dtype="auto").eval()
    tokenizer = AutoTokenizer.from_pretrained(destination)
    problem = next(msgspec.convert(row, Sample) for row in read_jsonl(problems_file))
    return {
        "files": [
            {"name": file.name, "bytes": file.stat().st_size} for file in sorted(destination.iterdir())
        ],
        "tensors": tensors,
        "parameters": reopened.num_parameters(),
        "chats": [_chat(reopened, tokenizer, problem, mode, evaluate) for mode in Mode],
    }


def _write(
    model: PreTrainedModel, trained: Path, destination: Path, section: ExportSection, facts: CardFacts
) -> None:
    with write_folder_whole(destination) as aside:
        save_torch_state_dict(_own_tensors(model), aside, max_shard_size=section.shard_size)
        for file in trained.iterdir():
            if not file.name.startswith("model"):
                shutil.copy2(file, aside / file.name)
        (aside / "README.md").write_text(model_card(section, facts), encoding="utf-8")


def _own_tensors(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the tensors to store: a tied head is the embedding under a second name."""
    state = model.state_dict()
    if model.config.tie_word_embeddings:
        state = {name: tensor for name, tensor in state.items() if name != "lm_head.weight"}
    return state


def _compare(model: PreTrainedModel, destination: Path) -> int:
    """Compare names, shapes, dtypes and values of what was written with what was to be. Returns the tensors' number."""
    from safetensors import safe_open

    wanted = _own_tensors(model)
    found: dict[str, torch.Tensor] = {}
    for shard in sorted(destination.glob("*.safetensors")):
        with safe_open(shard, framework="pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - a file, not a dict
    if wanted.keys() != found.keys():
        missing = sorted(wanted.keys() ^ found.keys())
        raise ExportError(f"{destination}: {len(missing)} tensors differ by name, the first is {missing[0]}")
    for name, tensor in wanted.items():
        if not torch.equal(tensor, found[name]):
            raise ExportError(f"{destination}: the tensor {name} is not what was trained")
    return len(found)


def _chat(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    problem: Sample,
    mode: Mode,
    evaluate: EvaluateSection,
) -> dict[str, str]:
    """Return one exchange through the shipped chat template: what a user's first call gives."""
    conversation = [{"role": message.role, "content": message.content} for message in problem.messages]
    prompt = tokenizer.apply_chat_template(
        conversation, thinking=mode is Mode.THINK, add_generation_prompt=True, tokenize=False
    )
    budget = getattr(evaluate.max_new_tokens, mode)
    answer = generate(model, tokenizer, [prompt], budget, batch_size=1)[0]
    return {"mode": str(mode), "prompt": conversation[-1]["content"], "answer": answer.text}


def model_card(section: ExportSection, facts: CardFacts) -> str:
    """Return the card: what the model is, how to ask it, its scores, what its data went through, its recipe."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_CARD.read_text(encoding="utf-8"))
    rejected = sorted(facts.funnel["rejected"].items(), key=lambda item: -item[1])
    return template.render(
        facts=facts, licence=section.licence, rejected=rejected, modes=_modes(facts.scores)
    )


def _modes(scores: dict[str, dict[str, Any]]) -> Sequence[str]:
    return sorted({mode for by_mode in scores.values() for mode in by_mode}, reverse=True)
