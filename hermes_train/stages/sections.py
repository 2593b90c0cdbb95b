"""What each stage depends on: fingerprints by name, computed from the recipe and the files, before anything runs.

A stage's inputs contain those of the stages it builds on, as far as they matter to it. A stage that is out of date can
then name the setting that changed, also when it is one of an earlier stage; and the rate of the DPO stage does not
make the SFT stage out of date.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data_filters.readers import source_files
from data_filters.settings import Source
from hermes_train import __version__
from hermes_train.recipe.schema import Recipe
from hermes_train.recipe.training_sections import OF_ROWS, DpoSection, HybridSection
from hermes_train.runs import file_fingerprint, fingerprint

Inputs = dict[str, str]

_MIXTURE = ("share", "epochs", "max_documents", "max_tokens")
_HYBRID_DATA = ("problems", "replay", "length", "global_batch")
_DRAWN_FOR_LENGTH_CONTROL = ("budget", "share", "thoughts", "prompts", "sources", "trained")
_SAMPLED_FOR_LENGTH_CONTROL = (
    *("budget", "prompts", "sources", "answer_tokens"),
    *("temperature", "top_p", "top_k", "batch_size"),
)
_DPO_DATA = ("refusals", "pairs", "max_length", "global_batch")
_NO_EFFECT_ON_LOSS = {
    *("save_every", "keep_checkpoints", "evaluate_every", "spikes"),
    *("gradient_checkpointing", "activation_offload", "kernels"),
    # The loss of a step is the same for every split of its global batch.
    "micro_batch",
}
_ROUNDED_ON_THE_WAY = ("quantised_weights", "quantised_gradients")
"""What of `parallel` changes the numbers themselves, beyond the order in which they are added up."""
_OF_A_BASE = {".json", ".jinja", ".txt", ".model", ".safetensors"}
"""Config, tokenizer, template and weights in a base's folder."""
_FOR_GOING_ON = {"skip_documents"}
"""What a stopped stage is to go on with from its last checkpoint: it changes the rest of the stage, and is meant to."""


def stage_inputs(recipe: Recipe) -> dict[str, Inputs]:
    """Return the inputs of every stage, of each evaluation (`evaluate/base`, `evaluate/sft`, ...), and of the sampled
    thoughts (`samples`).

    Raises UserError for a source file that is missing.
    """
    prepare = _named("recipe.model", recipe.model.model_dump(mode="json", exclude={"attention"})) | {
        "recipe.seed": fingerprint(recipe.seed),
        "hermes-train": __version__,
    }
    prepare |= _base_files(recipe.model.given_folder)
    filtered = _filter_inputs(recipe)
    packed = recipe.pack.model_dump(mode="json", exclude={"workers"})
    documents = prepare | filtered | _named("recipe.pack", packed)
    sft_data = (
        documents | _mixture(recipe) | {"recipe.sft.global_batch": fingerprint(recipe.sft.global_batch)}
    )
    hybrid_data = (
        documents
        | _chosen("recipe.hybrid", recipe.hybrid, _HYBRID_DATA)
        | _length_control(recipe, _DRAWN_FOR_LENGTH_CONTROL)
    )
    dpo_data = documents | _chosen("recipe.dpo", recipe.dpo, _DPO_DATA)
    rounded = _named(
        "recipe.parallel", recipe.parallel.model_dump(mode="json", include=set(_ROUNDED_ON_THE_WAY))
    )
    sft = sft_data | rounded | _training("recipe.sft", recipe.sft)
    samples = sft | _length_control(recipe, _SAMPLED_FOR_LENGTH_CONTROL)
    hybrid = samples | hybrid_data | _training("recipe.hybrid", recipe.hybrid)
    dpo = hybrid | dpo_data | _training("recipe.dpo", recipe.dpo)
    trained = {"base": prepare, "sft": sft, "hybrid": hybrid, "dpo": dpo}
    answering = _named(
        "recipe.evaluate", recipe.evaluate.model_dump(mode="json", exclude={"problems", "samples"})
    )
    evaluations = {f"evaluate/{model}": inputs | filtered | answering for model, inputs in trained.items()}
    evaluate = evaluations["evaluate/dpo"]
    return {
        "prepare": prepare,
        "filter": filtered,
        "pack": sft_data | hybrid_data | dpo_data,
        "sft": sft,
        "samples": samples,
        "hybrid": hybrid,
        "dpo": dpo,
        "evaluate": evaluate,
        "export": evaluate
        | _named("recipe.export", recipe.export.model_dump(mode="json"))
        | _named("recipe", {"name": recipe.name, "description": recipe.description}),
        **evaluations,
    }


def _base_files(folder: Path | None) -> Inputs:
    if folder is None or not folder.is_dir():
        return {}
    return {
        f"file {path}": file_fingerprint(path)
        for path in sorted(folder.iterdir())
        if path.suffix in _OF_A_BASE and path.is_file()
    }


def _filter_inputs(recipe: Recipe) -> Inputs:
    data = recipe.data.model_dump(
        mode="json", exclude={"engine": True, "sources": {"__all__": set(_MIXTURE)}}
    )
    problems = [source.model_dump(mode="json") for source in recipe.evaluate.problems]
    files = _files([*recipe.data.sources, *recipe.evaluate.problems])
    against = [Path(path) for path in recipe.data.contamination.against]
    return (
        _named("recipe.data", data)
        | {"recipe.evaluate.problems": fingerprint(problems), "hermes-train": __version__}
        | {f"file {path}": file_fingerprint(path) for path in (*files, *against) if path.exists()}
    )


def _files(sources: Iterable[Source]) -> list[Path]:
    return [path for source in sources if source.path for path in source_files(source)]


def _mixture(recipe: Recipe) -> Inputs:
    wanted = {
        source.name: source.model_dump(mode="json", include=set(_MIXTURE)) for source in recipe.data.sources
    }
    return {f"recipe.data.sources ({', '.join(_MIXTURE)})": fingerprint(wanted)}


def _training(prefix: str, section: Any) -> Inputs:
    # The keys of length control are named one by one.
    without = _NO_EFFECT_ON_LOSS | _FOR_GOING_ON | {"length_control"}
    if getattr(section, "keep_best", False):
        # The best is chosen among the steps that are saved.
        without -= {"save_every"}
    if getattr(section, "loss", None) in OF_ROWS:
        without -= {"micro_batch"}
    return _named(prefix, section.model_dump(mode="json", exclude=without))


def _length_control(recipe: Recipe, keys: tuple[str, ...]) -> Inputs:
    control = recipe.hybrid.length_control
    if control is None:
        return {}
    return _named("recipe.hybrid.length_control", control.model_dump(mode="json", include=set(keys)))


def _chosen(prefix: str, section: HybridSection | DpoSection, keys: tuple[str, ...]) -> Inputs:
    return _named(prefix, section.model_dump(mode="json", include=set(keys)))


def _named(prefix: str, values: dict[str, Any]) -> Inputs:
    """Return one fingerprint for each key, so that a change is told by the key's name."""
    return {f"{prefix}.{key}": fingerprint(value) for key, value in values.items()}
