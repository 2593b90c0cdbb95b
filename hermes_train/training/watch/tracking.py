"""Weights & Biases: one run per training stage; its id lies in the stage's folder, so that a restart keeps it.

Figures go there by the names of `metrics.jsonl`, and the answers of the evaluation as a table. Weights never do.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_filters.files import read_jsonl, write_atomically
from hermes_train.recipe.schema import WandbSection

ID_FILE = "wandb_id.txt"

_FIELDS = ("id", "mode", "kind", "prompt", "text", "tokens", "correct")
"""What the table takes of a row of answers.jsonl, beside its verdict."""


class StageTracker:
    """The W&B run of one training stage, or nothing where tracking is disabled. For rank 0 alone."""

    def __init__(self, section: WandbSection, run_name: str, stage: str, folder: Path) -> None:
        self._section = section
        self._run_name = run_name
        self._stage = stage
        self._folder = folder
        self._run: Any = None

    def start(self, config: Mapping[str, Any]) -> None:
        """Open the stage's run, or go on with it; `config` is what the run is told to be made from."""
        if self._section.mode == "disabled":
            return
        import wandb

        id_file = self._folder / ID_FILE
        known = id_file.read_text(encoding="utf-8").strip() if id_file.exists() else None
        self._run = wandb.init(
            id=known or uuid.uuid4().hex[:12],
            # A run that was begun is gone on with or the reason told, never begun a second time beside the first.
            # Offline there is nothing to ask: the parts come together by their id when they are synced.
            resume="must" if known and self._section.mode == "online" else "allow",
            project=self._section.project,
            entity=self._section.entity,
            name=f"{self._run_name}/{self._stage}",
            group=self._run_name,
            job_type=self._stage,
            dir=str(self._folder),
            mode=self._section.mode,
            config=dict(config),
            settings=wandb.Settings(console="off"),
        )
        if known is None:
            with write_atomically(id_file) as file:
                file.write(self._run.id)

    def log(self, line: Mapping[str, Any]) -> None:
        """Send a step's line of metrics.jsonl; steps that the run has already, from before a restart, are left out."""
        if self._run is None or line["step"] < self._run.step:
            return
        figures = {name: value for name, value in line.items() if name != "step"}
        self._run.log(figures, step=line["step"])

    def log_answers(self, evaluated: Path) -> None:
        """Send what an evaluation wrote: scores by mode as the run's summary, answers and verdicts as a table."""
        if self._run is None:
            return
        import wandb

        rows = [
            [*(row[name] for name in _FIELDS), row["verdict"]["outcome"], row["verdict"]["reason"]]
            for row in read_jsonl(evaluated / "answers.jsonl")
        ]
        self._run.log({"answers": wandb.Table(columns=[*_FIELDS, "outcome", "reason"], data=rows)})
        scores = json.loads((evaluated / "scores.json").read_text(encoding="utf-8"))["modes"]
        for mode, score in scores.items():
            numbers = {name: value for name, value in score.items() if isinstance(value, int | float)}
            self._run.summary.update({f"evaluate/{mode}/{name}": value for name, value in numbers.items()})

    def end(self) -> None:
        """Close the run, so that the next stage opens its own."""
        if self._run is not None:
            self._run.finish()
            self._run = None
