"""`metrics.jsonl`: one line for each optimizer step of a training stage, whatever happens to the process.

{"step": 12, "loss": 0.83, "loss_think": 0.88, "loss_direct": 0.41, "lr": 2.9e-04, "grad_norm": 1.7, "tokens": 1019,
 "label_tokens": 604, "tokens_per_second": 261.3, "label_tokens_per_second": 154.9, "seconds": 3.9,
 "seconds_data": 0.01, "seconds_forward": 1.2, "seconds_backward": 2.4, "seconds_optimizer": 0.3,
 "flops_per_second": 2.1e+11, "peak_memory": 1890123776}

`seconds` is the whole step's, from reading its batch to its figures, saves and evaluations left out. On a known GPU
`mfu` stands beside `flops_per_second`. A step after which the held-out documents are scored has

 "held_out_loss": 0.91, "held_out_loss_think": 0.93, "held_out_loss_direct": 0.47, "seconds_held_out": 8.1
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_filters.files import write_atomically
from hermes_train.training.watch.step_timing import StepTimes

RENAMED = {
    "loss": "loss",
    "loss_think": "loss_think",
    "loss_direct": "loss_direct",
    "learning_rate": "lr",
    "grad_norm": "grad_norm",
    "rewards/margins": "reward_margin",
    "rewards/accuracies": "reward_accuracy",
    "rewards/margins_think": "reward_margin_think",
    "rewards/margins_direct": "reward_margin_direct",
    "rewards/accuracies_think": "reward_accuracy_think",
    "rewards/accuracies_direct": "reward_accuracy_direct",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "logps/chosen": "chosen_log_probability",
    "logps/rejected": "rejected_log_probability",
}
"""The Trainer's names of figures, and ours."""

_OF_HELD_OUT = {
    "eval_loss": "held_out_loss",
    "eval_loss_think": "held_out_loss_think",
    "eval_loss_direct": "held_out_loss_direct",
    "eval_runtime": "seconds_held_out",
}


def metrics_line(
    step: int, logs: Mapping[str, Any], tokens: tuple[int, int], times: StepTimes
) -> dict[str, Any]:
    """Return one step's figures from what the Trainer logged, its (tokens, labelled tokens) and its times."""
    figures = {name: logs[key] for key, name in RENAMED.items() if key in logs}
    return {
        "step": step,
        **figures,
        "tokens": tokens[0],
        "label_tokens": tokens[1],
        "tokens_per_second": round(tokens[0] / times.whole, 2),
        "label_tokens_per_second": round(tokens[1] / times.whole, 2),
        "seconds": round(times.whole, 4),
        **{f"seconds_{phase}": seconds for phase, seconds in times.by_phase().items()},
    }


def held_out_figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an evaluation adds to its step's figures, from what the Trainer's evaluation gives."""
    return {name: metrics[key] for key, name in _OF_HELD_OUT.items() if key in metrics}


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
