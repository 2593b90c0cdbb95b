"""The files of a run folder -> typed records. What is not there yet is None or empty, never zero."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from data_filters.errors import UserError
from data_filters.figures import FilterFigures
from hermes_train.evaluation.scores import JudgedAnswer
from hermes_train.report.records import (
    MODELS,
    TRAINING_STAGES,
    ExportFigures,
    Manifest,
    PackFigures,
    RunCard,
    Scores,
    StepMetrics,
    TrainingFigures,
)
from hermes_train.runs import STAGES

Record = TypeVar("Record")


class Progress(StrEnum):
    """How far a stage has come."""

    DONE = "done"
    STARTED = "started"
    """Its folder holds files but no manifest: it is running or was broken off."""
    NOT_DONE = "not done"


@dataclass(frozen=True)
class Run:
    """Everything the report tells of, as far as the run has come."""

    folder_name: str
    card: RunCard | None
    recipe: str | None
    """The resolved recipe as text."""
    progress: Mapping[str, Progress]
    manifests: Mapping[str, Manifest[Any]]
    """The manifest of each stage that is done, whatever its figures."""
    filter: FilterFigures | None
    pack: PackFigures | None
    training: Mapping[str, TrainingFigures]
    metrics: Mapping[str, tuple[StepMetrics, ...]]
    scores: Mapping[str, Scores]
    """By model, in the order of MODELS."""
    answers: Mapping[str, tuple[JudgedAnswer, ...]]
    export: ExportFigures | None


def load_run(run_folder: Path) -> Run:
    """Read a run folder, finished or not.

    Raises UserError when the folder is missing or a file in it is not what its stage writes.
    """
    _demand_folder(run_folder)
    manifests = _by_stage(run_folder, STAGES, Manifest[dict[str, Any]])
    training = _by_stage(run_folder, TRAINING_STAGES, Manifest[TrainingFigures])
    filtered = _read_json(_manifest_path(run_folder, "filter"), Manifest[FilterFigures])
    packed = _read_json(_manifest_path(run_folder, "pack"), Manifest[PackFigures])
    exported = _read_json(_manifest_path(run_folder, "export"), Manifest[ExportFigures])
    recipe = run_folder / "recipe.yaml"
    return Run(
        folder_name=run_folder.resolve().name,
        card=_read_json(run_folder / "run.json", RunCard),
        recipe=recipe.read_text(encoding="utf-8") if recipe.exists() else None,
        progress={stage: _progress(run_folder / stage, stage in manifests) for stage in STAGES},
        manifests=manifests,
        filter=filtered.figures if filtered else None,
        pack=packed.figures if packed else None,
        training={stage: manifest.figures for stage, manifest in training.items()},
        metrics=_lines_by_name(run_folder, TRAINING_STAGES, "metrics.jsonl", StepMetrics),
        scores=load_scores(run_folder),
        answers=_lines_by_name(run_folder / "evaluate", MODELS, "answers.jsonl", JudgedAnswer),
        export=exported.figures if exported else None,
    )


def load_scores(run_folder: Path) -> dict[str, Scores]:
    """Return the scores of each model evaluated so far, in the order of MODELS.

    Raises UserError as `load_run` does.
    """
    _demand_folder(run_folder)
    found = {}
    for model in MODELS:
        scores = _read_json(run_folder / "evaluate" / model / "scores.json", Scores)
        if scores is not None:
            found[model] = scores
    return found


def _demand_folder(run_folder: Path) -> None:
    if not run_folder.is_dir():
        raise UserError(
            f"{run_folder} is not a folder; `hermes-train run RECIPE` makes the folder that a report tells of"
        )


def _manifest_path(run_folder: Path, stage: str) -> Path:
    return run_folder / stage / "manifest.json"


def _by_stage(
    run_folder: Path, stages: Sequence[str], kind: type[Manifest[Record]]
) -> dict[str, Manifest[Record]]:
    found = {}
    for stage in stages:
        manifest = _read_json(_manifest_path(run_folder, stage), kind)
        if manifest is not None:
            found[stage] = manifest
    return found


def _progress(folder: Path, has_manifest: bool) -> Progress:
    if has_manifest:
        return Progress.DONE
    started = folder.is_dir() and any(path.is_file() for path in folder.rglob("*"))
    return Progress.STARTED if started else Progress.NOT_DONE


def _read_json(path: Path, kind: type[Record]) -> Record | None:
    if not path.exists():
        return None
    return _decode(path.read_bytes(), kind, str(path))


def _read_lines(path: Path, kind: type[Record]) -> tuple[Record, ...]:
    if not path.exists():
        return ()
    # A last line without its newline is still being written, or its writer was killed: it is no record yet.
    *lines, _ = path.read_bytes().split(b"\n")
    return tuple(
        _decode(line, kind, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()
    )


def _decode(content: bytes, kind: type[Record], place: str) -> Record:
    try:
        # A diverged run has NaN in its figures; json reads it, msgspec alone would refuse the whole file.
        value = json.loads(content, parse_constant=_not_a_number)
        return msgspec.convert(value, kind)
    except (json.JSONDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise UserError(
            f"{place}: {error}; this is not what the stage writes: delete the stage's folder and run it again"
        ) from error


def _not_a_number(_: str) -> None:
    """Stand for NaN and the infinities."""


def _lines_by_name(
    folder: Path, names: Sequence[str], file: str, kind: type[Record]
) -> dict[str, tuple[Record, ...]]:
    found = {name: _read_lines(folder / name / file, kind) for name in names}
    return {name: records for name, records in found.items() if records}
