"""`metrics.jsonl`: one line for each optimizer step of a training stage, whatever happens to the process.

{"step": 12, "loss": 0.83, "lr": 2.9e-04, "grad_norm": 1.7, "tokens": 1019, "label_tokens": 604, "seconds": 3.9}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_filters.files import write_atomically

RENAMED = {
    "loss": "loss",
    "learning_rate": "lr",
    "grad_norm": "grad_norm",
    "rewards/margins": "reward_margin",
    "rewards/accuracies": "reward_accuracy",
}
"""The Trainer's names of figures, and ours."""


def metrics_line(
    step: int, logs: Mapping[str, Any], tokens: tuple[int, int], seconds: float
) -> dict[str, Any]:
    """Return one step's figures from what the Trainer logged."""
    figures = {name: logs[key] for key, name in RENAMED.items() if key in logs}
    return {
        "step": step,
        **figures,
        "tokens": tokens[0],
        "label_tokens": tokens[1],
        "seconds": round(seconds, 4),
    }


def append_metrics(path: Path, line: Mapping[str, Any]) -> None:
    """Add one line; a line is short enough to be written whole."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def drop_after(path: Path, step: int) -> None:
    """Forget the steps after `step`: the run goes on from there and will write them again."""
    kept = [line for line in read_metrics(path) if line["step"] <= step]
    with write_atomically(path) as file:
        file.writelines(json.dumps(line) + "\n" for line in kept)
