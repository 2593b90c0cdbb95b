"""Kept rows, and the inputs of the pack stage that reads them."""

from pathlib import Path

from data_filters.files import write_jsonl
from data_filters.samples import Message, Sample
from hermes_train.recipe.load import load_recipe
from hermes_train.stages.pack import PackInputs

ROOT = Path(__file__).parents[2]


def sample(number, thought_words=4):
    prompt = [Message("user", f"What is {number} + 2?")]
    if number % 2:
        return Sample(f"chat/{number}", "chat", [*prompt, Message("assistant", f"It is {number + 2}.")])
    thought = "so " * (thought_words + number % 7) + f"{number} + 2 = {number + 2}"
    return Sample(f"math/{number}", "math", [*prompt, Message("assistant", str(number + 2), thought)])


def write_rows(folder, samples):
    """What the filter leaves behind."""
    write_jsonl(folder / "kept.jsonl", samples)
    write_jsonl(folder / "rejected.jsonl", [])
    return folder


def inputs_for(prepared, filtered, workers=1, sources=(), **settings):
    overrides = {
        "pack.length": 256,
        "sft.global_batch": 2,
        "hybrid.global_batch": 2,
        "hybrid.problems": 40,
        "hybrid.length_control": "{budget: 40, share: 0.1, thoughts: kept}",
        "dpo.global_batch": 2,
        "data.sources": "[{name: math, path: none, share: 0.5}, {name: chat, path: none}]",
    } | {key.replace("__", "."): value for key, value in settings.items()}
    recipe = load_recipe(
        ROOT / "recipes" / "smoke.yaml", [f"{key}={value}" for key, value in overrides.items()]
    ).recipe
    return PackInputs(
        prepared=prepared,
        filtered=filtered,
        model=recipe.model,
        sources=recipe.data.sources,
        pack=recipe.pack,
        sft_global_batch=recipe.sft.global_batch,
        hybrid=recipe.hybrid,
        dpo=recipe.dpo,
        refusals_right_for=recipe.data.verify.refusals.right_for,
        seed=recipe.seed,
        workers=workers,
        engine=recipe.data.engine,
    )


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
