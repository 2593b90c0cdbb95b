"""A small run folder as the stages leave it: numbers and texts of the size and form that a demo run has."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

STAGES = ("prepare", "filter", "pack", "sft", "hybrid", "dpo", "evaluate", "export")
MODELS = ("base", "sft", "hybrid", "dpo")
KINDS = ("sums", "legs", "sorting", "constraints", "records")


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Return the folder of a finished run."""
    return write_example_run(tmp_path / "demo")


@pytest.fixture
def example_pack() -> dict[str, Any]:
    """Return the figures of the run's pack stage."""
    figures: dict[str, Any] = _example("pack")
    return figures


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    """Return `write_example_run(folder, stages)`."""
    return write_example_run


@pytest.fixture(scope="session")
def poison() -> Callable[[Path], None]:
    """Return the function that puts an attack into every file of a run."""
    return _poison


def write_example_run(folder: Path, stages: Sequence[str] = STAGES) -> Path:
    """Write a run in which only `stages` are done, and return its folder."""
    folder.mkdir(parents=True)
    _write(folder / "run.json", _example("run"))
    (folder / "recipe.yaml").write_text("name: demo\nmodel:\n  template: llama3\n", encoding="utf-8")
    for number, stage in enumerate(stages):
        _write(folder / stage / "manifest.json", _manifest(stage, number))
    for stage, steps in (("sft", 120), ("hybrid", 60), ("dpo", 40)):
        if stage in stages:
            _write_lines(folder / stage / "metrics.jsonl", _metrics(stage, steps))
    if "evaluate" in stages:
        for index, model in enumerate(MODELS):
            _write(folder / "evaluate" / model / "scores.json", _scores(model, index))
            _write_lines(folder / "evaluate" / model / "answers.jsonl", _answers(index))
    return folder


def _example(name: str) -> Any:
    return json.loads((Path(__file__).parent / "example" / f"{name}.json").read_text(encoding="utf-8"))


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _write_lines(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _manifest(stage: str, number: int) -> dict[str, Any]:
    seconds = {"prepare": 6.4, "filter": 21.7, "pack": 4.1, "sft": 402.0, "hybrid": 133.5, "dpo": 121.2}
    figures = {
        "filter": _example("filter"),
        "pack": _example("pack"),
        "sft": {"steps": 120, "seconds": 402.0, "tokens": 122_880, "final_loss": 0.0931},
        "hybrid": {
            "steps": 60,
            "seconds": 133.5,
            "tokens": 61_440,
            "final_loss": 0.0717,
            "paired_problems": 180,
            "length_control_documents": 24,
            "replayed_documents": 60,
        },
        "dpo": {
            "steps": 40,
            "seconds": 121.2,
            "tokens": 30_112,
            "final_loss": 0.2142,
            "pairs": {"trace": 96, "constraint": 40, "refusal": 24},
            "dropped": {"too_long": 3},
        },
        "export": _example("export"),
    }
    return {
        "stage": stage,
        "finished": f"2026-11-22T16:{5 + 2 * number:02}:09+00:00",
        "seconds": seconds.get(stage, 0.1 if stage == "evaluate" else 9.3),
        "inputs": {"recipe section": "9f2c41d07be8", "previous stage": "41aa90ce1b57"},
        "figures": figures.get(stage, {}),
    }


def _metrics(stage: str, steps: int) -> Iterator[dict[str, Any]]:
    draw = random.Random(stage)
    start, end = {"sft": (2.4, 0.09), "hybrid": (0.21, 0.07), "dpo": (0.69, 0.21)}[stage]
    for step in range(1, steps + 1):
        progress = step / steps
        row = {
            "step": step,
            "loss": end
            + (start - end) * math.exp(-6 * progress) * draw.uniform(0.7, 1.3)
            + draw.uniform(0, 0.04),
            "lr": 2e-4 * min(step / 10, 0.5 * (1 + math.cos(math.pi * progress))),
            "grad_norm": 0.6 + 4 * math.exp(-5 * progress) * draw.uniform(0.5, 1.5),
            "tokens": 1024,
            "label_tokens": 590 + draw.randrange(60),
            "seconds": draw.uniform(3.1, 3.9),
        }
        if stage == "dpo":
            row["reward_margin"] = 2.2 * (1 - math.exp(-4 * progress)) + draw.uniform(-0.2, 0.2)
            row["reward_accuracy"] = min(1.0, 0.5 + 0.6 * progress + draw.uniform(-0.1, 0.1))
        yield row


def _scores(model: str, index: int) -> dict[str, Any]:
    think = ((4, 0.11, 0.93), (96, 0.96, 0.06), (104, 0.98, 0.02), (109, 0.992, 0.008))[index]
    direct = ((9, 0.21, 0.0), (38, 0.9, 0.0), (47, 0.99, 0.0), (49, 1.0, 0.0))[index]
    return {
        "model": model,
        "seconds": 22.0,
        "modes": {"think": _mode_scores(*think, tokens=68.4), "direct": _mode_scores(*direct, tokens=14.2)},
    }


def _mode_scores(correct: int, asked_form: float, unclosed: float, tokens: float) -> dict[str, Any]:
    low, high = wilson(correct, 120)
    weights = (1.05, 1.0, 0.9, 1.1, 0.95)
    kinds = {
        kind: {"problems": 24, "correct": min(24, round(correct / 5 * weight))}
        for kind, weight in zip(KINDS, weights, strict=True)
    }
    return {
        "problems": 120,
        "correct": correct,
        "accuracy": correct / 120,
        "low": low,
        "high": high,
        "asked_form": asked_form,
        "obeyed": asked_form,
        "obeyed_low": wilson(round(120 * asked_form), 120)[0],
        "obeyed_high": wilson(round(120 * asked_form), 120)[1],
        "unclosed": unclosed,
        "mean_tokens": tokens,
        "constraints_kept": _proportion(kinds["constraints"]["correct"] + kinds["records"]["correct"], 48),
        "refused_harmless": _proportion(1, 120),
        "refused_rightly": _proportion(7, 8),
        "kinds": kinds,
    }


def _proportion(count: int, of: int) -> dict[str, Any]:
    low, high = wilson(count, of)
    return {"count": count, "of": of, "low": low, "high": high}


def wilson(correct: int, problems: int) -> tuple[float, float]:
    """Return the 95 % interval of a share."""
    share, z = correct / problems, 1.96
    middle = (share + z * z / (2 * problems)) / (1 + z * z / problems)
    half = z / (1 + z * z / problems) * math.sqrt(share * (1 - share) / problems + z * z / (4 * problems**2))
    return max(0.0, middle - half), min(1.0, middle + half)


_REASONS = {"records": "json_valid", "constraints": "instructions_kept"}
_UNTRAINED = {
    "think": (
        "<think>\nTo solve this we add the numbers. 8 + 3 + 9 + 4 = 24, and then " * 3,
        "think_unclosed",
    ),
    "direct": ("The answer is 24.", "math_wrong_answer"),
}


def _answers(index: int) -> Iterator[dict[str, Any]]:
    for number, problem in enumerate(_example("problems")):
        kind, thought, content = problem["kind"], problem["thought"], problem["content"]
        for mode in ("think", "direct"):
            if index == 0:
                text, reason = _UNTRAINED[mode]
            else:
                text = f"<think>\n{thought}\n</think>\n\n{content}" if mode == "think" else content
                reason = _REASONS.get(kind, "math_correct_exact")
            yield {
                "id": f"{kind}/{number}",
                "kind": kind,
                "mode": mode,
                "prompt": problem["prompt"],
                "text": text,
                "tokens": len(text) // 4,
                "correct": index > 0,
                "verdict": {
                    "id": f"{kind}/{number}",
                    "outcome": "verified" if index else "refuted",
                    "reason": reason,
                },
                "asked_form": index > 0,
                "obeyed": index > 0,
                "unclosed": reason == "think_unclosed",
                "refusal": "none",
                "task": {"constraints": "instructions", "records": "json_schema"}.get(kind, "math"),
                "deserves_refusal": False,
            }


HOSTILE = "</style></script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}&amp;"


def _hostile(value: Any) -> Any:
    """Return the JSON value with every text of a model or a row replaced by an attack."""
    if isinstance(value, dict):
        texts = (
            "prompt",
            "answer",
            "text",
            "detail",
            "description",
            "reason",
            "kind",
            "name",
            "base",
            "recipe",
        )
        return {
            key: HOSTILE if key in texts and isinstance(inner, str) else _hostile(inner)
            for key, inner in value.items()
        }
    return [_hostile(inner) for inner in value] if isinstance(value, list) else value


def _poison(folder: Path) -> None:
    """Put the attack into every file of the run."""
    for path in folder.rglob("*.json"):
        path.write_text(json.dumps(_hostile(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")
    for path in folder.rglob("answers.jsonl"):
        rows = [_hostile(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "recipe.yaml").write_text(HOSTILE, encoding="utf-8")
