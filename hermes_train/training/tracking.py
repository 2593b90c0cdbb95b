"""Weights & Biases: one run per training stage; its id lies in the stage's folder, so that a restart keeps it."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from data_filters.files import write_atomically
from hermes_train.recipe.schema import WandbSection
from hermes_train.training.ranks import is_main

ID_FILE = "wandb_id.txt"


def start_tracking(
    section: WandbSection, run_name: str, stage: str, folder: Path, settings: dict[str, Any]
) -> None:
    """Open the stage's W&B run, or go on with it; does nothing when tracking is disabled or on other ranks."""
    if section.mode == "disabled" or not is_main():
        return
    import wandb

    id_file = folder / ID_FILE
    if not id_file.exists():
        with write_atomically(id_file) as file:
            file.write(uuid.uuid4().hex[:12])
    # The Trainer's own W&B callback joins the run that is open, and must not upload checkpoints.
    os.environ.setdefault("WANDB_LOG_MODEL", "false")
    wandb.init(
        id=id_file.read_text(encoding="utf-8").strip(),
        resume="allow",
        project=section.project,
        entity=section.entity,
        name=f"{run_name}/{stage}",
        group=run_name,
        job_type=stage,
        dir=str(folder),
        mode=section.mode,
        config=settings,
    )


def end_tracking(section: WandbSection) -> None:
    """Close the stage's W&B run, so that the next stage opens its own."""
    if section.mode != "disabled" and is_main():
        import wandb

        wandb.finish()
