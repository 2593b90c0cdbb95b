"""Which model a recipe trains, found without loading it: in the run, in a folder, or among the shapes kept as facts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_filters.errors import UserError
from hermes_train.recipe.schema import ModelSection, RandomModel
from hermes_train.runs import RunFolder, fingerprint
from hermes_train.training.compute.architecture import KNOWN_BASES, Architecture, dense

BYTE_VOCABULARY = 270
"""Tokens of the byte-level tokenizer of random models; a test holds this against `training.weights.bases`."""


@dataclass(frozen=True)
class PlannedModel:
    """The model's shape, its name, and where the shape was read."""

    architecture: Architecture
    name: str
    source: str


def find_model(model: ModelSection, run_folder: RunFolder) -> PlannedModel:
    """Return the model that a recipe trains.

    The run's prepared model comes first, whose vocabulary is the final one; then random shapes, known bases, folders,
    and at last the Hub or its cache, which needs torch. Raises UserError for a base that cannot be found.
    """
    name = model.base or "random weights"
    prepared = run_folder.stage("prepare").path / "model"
    if _is_prepared_from(run_folder, model):
        return PlannedModel(Architecture.of_folder(prepared), name, f"prepared in {prepared}")
    if model.random is not None:
        return PlannedModel(_random(model.random), name, "the recipe")
    if name in KNOWN_BASES:
        return PlannedModel(KNOWN_BASES[name], name, "known shape")
    if Path(name).expanduser().is_dir():
        folder = Path(name).expanduser()
        return PlannedModel(Architecture.of_folder(folder), name, f"{folder / 'config.json'}")
    return PlannedModel(_fetched(model), name, "its config")


def _is_prepared_from(run_folder: RunFolder, model: ModelSection) -> bool:
    """Whether the run's prepared model is there and of the base that the recipe names now."""
    manifest = run_folder.stage("prepare").manifest()
    if manifest is None:
        return False
    now = model.model_dump(mode="json", include={"base", "random", "revision", "template"})
    made_with = manifest["inputs"]
    return all(made_with.get(f"recipe.model.{key}") == fingerprint(value) for key, value in now.items())


def _random(shape: RandomModel) -> Architecture:
    return dense(
        layers=shape.layers,
        hidden_size=shape.hidden_size,
        heads=shape.heads,
        key_value_heads=shape.key_value_heads,
        intermediate_size=shape.intermediate_size,
        vocabulary=BYTE_VOCABULARY,
        max_positions=shape.max_position_embeddings,
        tied_embeddings=shape.tied_embeddings,
    )


def _fetched(model: ModelSection) -> Architecture:
    # Only here, since it brings torch.
    from hermes_train.training.weights.bases import base_texts, load_base_config

    try:
        with base_texts(model) as folder:
            return Architecture.of_config(load_base_config(folder))
    except UserError as error:
        raise UserError(
            f"the shape of model.base {model.base} is not known, and {error}; to plan without the Hub, give model.base "
            f"a folder with the model's config.json, or one of {', '.join(KNOWN_BASES)}"
        ) from error
