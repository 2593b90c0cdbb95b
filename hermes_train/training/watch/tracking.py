"""Weights & Biases: one run per training stage; its id lies in the stage's folder, so that a restart keeps it.

Figures go there by the names of `metrics.jsonl`, and the answers of the evaluation as a table. Weights never do.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_filters.files import read_jsonl, write_atomically
from hermes_train.recipe.schema import WandbSection

ID_FILE = "wandb_id.txt"
SENT_FILE = "wandb_sent.txt"
"""Holds the last step of a part of the run that was closed in order."""

_FIELDS = ("id", "mode", "kind", "prompt", "text", "tokens", "correct")
"""What the table takes of a row of answers.jsonl, beside its verdict."""


class StageTracker:
    """The W&B run of one training stage, or nothing where tracking is disabled. For rank 0 alone.

    Training goes on without it where it is lost: a scheduler that ends a job signals every process of it, and W&B's own
    ends at once, while the ranks finish their step and save. The next process sends what was lost.
    """

    def __init__(
        self,
        section: WandbSection,
        run_name: str,
        stage: str,
        folder: Path,
        warn: Callable[[str], None] = print,
    ) -> None:
        self._warn = warn
        self._last_step: int | None = None
        self._section = section
        self._run_name = run_name
        self._stage = stage
        self._folder = folder
        self._run: Any = None

    def start(self, config: Mapping[str, Any], lines: Sequence[Mapping[str, Any]] = ()) -> None:
        """Open the stage's run, or go on with it; `config` is what the run is told to be made from.

        `lines` are those of metrics.jsonl up to here: those that the run may lack are sent again. Raises W&B's error
        where the run cannot be opened the first time. Where it was open before, a warning is enough: a job that comes
        back does not stop over a service that is down.
        """
        if self._section.mode == "disabled":
            return
        id_file = self._folder / ID_FILE
        known = id_file.read_text(encoding="utf-8").strip() if id_file.exists() else None
        try:
            self._run = self._opened(known, config)
        # As in `_going_on`.
        except Exception as error:
            if known is None:
                raise
            self._warn(
                f"W&B does not open the run ({type(error).__name__}: {error}); {self._stage} goes on without it, and a "
                "later process sends the figures"
            )
            return
        if known is None:
            with write_atomically(id_file) as file:
                file.write(self._run.id)
            return
        sent = self._sent()
        for line in lines:
            if line["step"] > sent:
                self.log(line)

    def _opened(self, known: str | None, config: Mapping[str, Any]) -> Any:
        import wandb

        return wandb.init(
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

    def log(self, line: Mapping[str, Any]) -> None:
        """Send a step's line of metrics.jsonl; steps that the run has already, from before a restart, are left out."""
        if self._run is None:
            return
        figures = {name: value for name, value in line.items() if name != "step"}
        with self._going_on("training goes on, and it is told later"):
            if line["step"] >= self._run.step:
                self._run.log(figures, step=line["step"])
        self._last_step = line["step"]

    def log_answers(self, evaluated: Path) -> None:
        """Send what an evaluation wrote: scores by mode as the run's summary, answers and verdicts as a table."""
        if self._run is None:
            return
        rows = [
            [*(row[name] for name in _FIELDS), row["verdict"]["outcome"], row["verdict"]["reason"]]
            for row in read_jsonl(evaluated / "answers.jsonl")
        ]
        scores = json.loads((evaluated / "scores.json").read_text(encoding="utf-8"))["modes"]
        numbers = {
            f"evaluate/{mode}/{name}": value
            for mode, score in scores.items()
            for name, value in score.items()
            if isinstance(value, int | float)
        }
        import wandb

        with self._going_on(f"the answers are in {evaluated}"):
            self._run.log({"answers": wandb.Table(columns=[*_FIELDS, "outcome", "reason"], data=rows)})
            self._run.summary.update(numbers)

    @contextmanager
    def _going_on(self, told: str) -> Iterator[None]:
        """Give up the run, and say so, where W&B fails within the block."""
        try:
            yield
        # W&B's errors have no base in common, and none is worth the run: metrics.jsonl has the figures.
        except Exception as error:
            self._run = None
            self._warn(f"W&B is lost ({type(error).__name__}: {error}); {told}")

    def end(self) -> None:
        """Close the run, so that the next stage opens its own."""
        if self._run is None:
            return
        import wandb

        run, self._run = self._run, None
        try:
            run.finish()
            # W&B's own process may hold the run's id a moment longer, and refuse it to whoever opens the run next.
            wandb.teardown()
        # As in `_going_on`.
        except Exception as error:
            self._warn(f"W&B is lost ({type(error).__name__}: {error}); it is told by the next process")
            return
        if self._last_step is not None:
            with write_atomically(self._folder / SENT_FILE) as file:
                file.write(str(self._last_step))

    def _sent(self) -> int:
        """Return the last step that the run is known to have."""
        path = self._folder / SENT_FILE
        return int(path.read_text(encoding="utf-8")) if path.exists() else 0
