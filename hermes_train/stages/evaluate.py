"""evaluate: the held-out problems answered by one model in both modes, judged by the verifiers of the filter."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers import AutoModelForCausalLM

from data_filters.files import read_jsonl, write_jsonl
from data_filters.samples import TASK, Mode, Sample
from data_filters.settings import VerifySettings
from data_filters.verifiers.refusals import find_refusal
from data_filters.verify import ANSWER_FORM, THINK_FORM, verify_text
from hermes_train.chat.template import THINK_CLOSE, THINK_OPEN
from hermes_train.evaluation.generate import Answer, generate
from hermes_train.evaluation.scores import Judged, is_verified, score
from hermes_train.packing.documents import DocumentMaker
from hermes_train.recipe.schema import EvaluateSection
from hermes_train.runs import write_json
from hermes_train.training.bases import DTYPES

Progress = Callable[[int, int], None]
"""Called with the number of answers given and the number wanted."""


def evaluate_model(
    section: EvaluateSection,
    verify: VerifySettings,
    problems_file: Path,
    model_folder: Path,
    dtype: str,
    maker: DocumentMaker,
    folder: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write answers.jsonl and scores.json for one model. Returns the scores by mode."""
    started = time.perf_counter()
    problems = [msgspec.convert(row, Sample) for row in read_jsonl(problems_file)]
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=DTYPES[dtype], trust_remote_code=False)
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    judged: list[Judged] = []
    for mode in Mode:
        budget = getattr(section.max_new_tokens, mode)
        report = _from(progress, len(judged), 2 * len(problems))
        prompts = [
            maker.renderer.prompt(problem.messages, problem.tools, mode, problem.id) for problem in problems
        ]
        answers = generate(model, maker.tokenizer, prompts, budget, section.batch_size, report)
        judged += [
            judge(problem, answer, mode, verify) for problem, answer in zip(problems, answers, strict=True)
        ]
    scores = {str(mode): score([item for item in judged if item.mode is mode]) for mode in Mode}
    write_jsonl(folder / "answers.jsonl", judged)
    seconds = round(time.perf_counter() - started, 2)
    modes = msgspec.to_builtins(scores)
    write_json(folder / "scores.json", {"model": folder.name, "seconds": seconds, "modes": modes})
    return {"modes": modes}


def _from(progress: Progress | None, done: int, total: int) -> Callable[[int], None] | None:
    if progress is None:
        return None
    count = done

    def report(answers: int) -> None:
        nonlocal count
        count += answers
        progress(count, total)

    return report


def judge(problem: Sample, answer: Answer, mode: Mode, settings: VerifySettings) -> Judged:
    """Return one answer with its judgement: right or wrong, in the asked form or not, thought closed or not."""
    verdict = verify_text(problem, answer.text, mode, settings)
    asked = [is_verified(verdict, check) for check in (THINK_FORM, ANSWER_FORM)]
    prompt = next((message.content for message in reversed(problem.messages) if message.role == "user"), "")
    return Judged(
        id=problem.id,
        kind=str(problem.meta.get("kind", problem.source)),
        mode=mode,
        prompt=prompt,
        text=answer.text,
        tokens=answer.tokens,
        correct=bool(is_verified(verdict, TASK)),
        asked_form=all(found is not False for found in asked),
        unclosed=answer.text.lstrip().startswith(THINK_OPEN) and THINK_CLOSE not in answer.text,
        refusal=find_refusal(answer.text.rpartition(THINK_CLOSE)[2]).refusal,
        verdict=verdict,
    )
