"""evaluate: the held-out problems answered by one model in both modes, judged by the verifiers of the filter."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from data_filters.files import read_jsonl, write_jsonl
from data_filters.samples import TASK, Mode, Sample
from data_filters.settings import VerifySettings
from data_filters.verifiers.refusals import deserves_refusal, find_refusal, find_right_refusal
from data_filters.verify import ANSWER_FORM, THINK_FORM, verify_text
from hermes_train.chat.template import THINK_CLOSE, THINK_OPEN
from hermes_train.evaluation.generate import Answer, generate, load_for_answers, opens_thought, with_opening
from hermes_train.evaluation.scores import JudgedAnswer, is_verified, obeys, score
from hermes_train.packing.documents import DocumentMaker
from hermes_train.recipe.schema import EvaluateSection
from hermes_train.runs import write_json

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
    model = load_for_answers(model_folder, dtype)
    judged: list[JudgedAnswer] = []
    for mode in Mode:
        budget = getattr(section.max_new_tokens, mode)
        report = _from(progress, len(judged), 2 * len(problems))
        prompts = [
            maker.renderer.prompt(problem.messages, problem.tools, mode, problem.id) for problem in problems
        ]
        answers = generate(model, maker.tokenizer, prompts, budget, section.batch_size, report)
        judged += [
            judge(problem, with_opening(prompt, answer), mode, verify, opens_thought(prompt))
            for problem, prompt, answer in zip(problems, prompts, answers, strict=True)
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


def judge(
    problem: Sample, answer: Answer, mode: Mode, settings: VerifySettings, opened_by_prompt: bool = False
) -> JudgedAnswer:
    """Return one answer with its judgement: right or wrong, in the asked form or not, thought closed or not.

    `opened_by_prompt` says that the opening tag in the answer's text is not the model's.
    """
    verdict = verify_text(problem, answer.text, mode, settings)
    asked = [is_verified(verdict, check) for check in (THINK_FORM, ANSWER_FORM)]
    prompt = next((message.content for message in reversed(problem.messages) if message.role == "user"), "")
    unclosed = answer.text.lstrip().startswith(THINK_OPEN) and THINK_CLOSE not in answer.text
    # A thought that never ends may weigh whether to refuse; nothing is said yet.
    said = "" if unclosed else answer.text.rpartition(THINK_CLOSE)[2]
    refusal_is_right = deserves_refusal(problem, settings.refusals.right_for)
    return JudgedAnswer(
        id=problem.id,
        kind=str(problem.meta.get("kind", problem.source)),
        mode=mode,
        prompt=prompt,
        text=answer.text,
        tokens=answer.tokens,
        correct=bool(is_verified(verdict, TASK)),
        asked_form=all(found is not False for found in asked),
        obeyed=obeys(answer.text, mode, opened_by_prompt),
        unclosed=unclosed,
        refusal=(find_right_refusal if refusal_is_right else find_refusal)(said).refusal,
        verdict=verdict,
        task=None if problem.task is None else str(type(problem.task).__struct_config__.tag),
        deserves_refusal=refusal_is_right,
    )
