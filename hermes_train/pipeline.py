"""A run: its stages in order, what each is given, which are done, and the report after each."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from data_filters.errors import UserError
from data_filters.executors.slurm_queue import end_other_arrays
from data_filters.files import write_atomically
from data_filters.pipeline import LOGS_FOLDER
from hermes_train.recipe.explain import explain
from hermes_train.recipe.load import LoadedRecipe
from hermes_train.report import mixture_lines, score_tables, write_report
from hermes_train.runs import (
    BUILT_ON,
    EVALUATED_AFTER,
    MADE_BY,
    STAGES,
    TRAINING,
    RunFolder,
    StageFolder,
    StageState,
    Standing,
    recipe_and_options,
)
from hermes_train.stages.filter import PROBLEMS_FILE
from hermes_train.stages.sections import Inputs, stage_inputs
from hermes_train.work_bar import WorkBar

if TYPE_CHECKING:
    from hermes_train.stages.hybrid import HybridInputs

_KNOW_WHAT_IS_DONE = ("pack", "evaluate")
"""Stages that find out for themselves which of their parts are still right."""
_VERSIONS_SHOWN = (
    "torch",
    "transformers",
    "trl",
    "deepspeed",
    "accelerate",
    "datasets",
    "datatrove",
    "hermes-train",
)


class Pipeline:
    """One recipe in one run folder."""

    def __init__(self, loaded: LoadedRecipe, runs: Path, console: Console) -> None:
        self.loaded = loaded
        self.recipe = loaded.recipe
        self.run_folder = RunFolder(runs / loaded.recipe.name)
        self.console = console
        self.inputs = stage_inputs(loaded.recipe)

    def open(self) -> None:
        """Create the run's folder, or refuse one that belongs to another recipe."""
        recipe = self.recipe
        facts = {
            "name": recipe.name,
            "description": recipe.description,
            "base": recipe.model.base or "random weights",
            "seed": recipe.seed,
            # What a user types to go on.
            "recipe_path": str(self.loaded.path),
            "overrides": list(self.loaded.overrides),
            "versions": _versions(),
        }
        self.run_folder.open(recipe.name, self.loaded.path, facts)
        with write_atomically(self.run_folder.path / "recipe.yaml") as file:
            file.write(explain(self.loaded))

    def run(self, until: str = STAGES[-1]) -> None:
        """Make every stage up to `until` that is not done, telling why; evaluate each model as it comes."""
        for stage in STAGES[: STAGES.index(until) + 1]:
            standing = self.standing(stage)
            self.console.print(f"[bold]{stage:9}[/bold] {standing}", highlight=False)
            if standing.state is not StageState.DONE:
                self._make_in_best_place(stage)
            if stage in EVALUATED_AFTER:
                # At once, so that a bad model shows before the next stage is paid for.
                with self.run_folder.locked():
                    self._evaluate(EVALUATED_AFTER[stage])
            write_report(self.run_folder.path)
        self.report()

    def standing(self, stage: str) -> Standing:
        """Return where a stage stands."""
        return self.run_folder.stage(stage).standing(self.inputs[stage])

    def make(self, stage: str) -> None:
        """Make one stage, in this process or as one of the ranks of a launcher. Raises UserError when an earlier one
        is not done."""
        from hermes_train.training import ranks

        self.require_earlier(stage)
        ranks.use_cpu()
        folder = self.run_folder.stage(stage)
        inputs = self.inputs[stage]
        started = time.perf_counter()
        if ranks.is_main():
            if stage == "filter" and folder.standing(inputs).state is not StageState.INTERRUPTED:
                # The folder is about to be cleared; nobody may be writing there.
                end_other_arrays(folder.path / LOGS_FOLDER, kept=None)
            folder.begin(inputs, keep=stage in _KNOW_WHAT_IS_DONE)
        elif stage in TRAINING:
            # What an earlier run left must be gone before this rank looks for something to go on with.
            ranks.wait_until(lambda: folder.standing(inputs).state is StageState.INTERRUPTED)
        with self._kept_whole(folder) if stage in TRAINING else nullcontext():
            figures = self._maker(stage)(folder)
            if ranks.is_main():
                folder.finish(inputs, figures, time.perf_counter() - started)
                if stage in TRAINING:
                    from hermes_train.training.resume.checkpoints import remove_all

                    # Not before: until the manifest is there, a process goes on from them.
                    remove_all(folder.path)

    @contextmanager
    def _kept_whole(self, folder: StageFolder) -> Iterator[None]:
        """Let a signal wait until what was trained is saved, and write in the stage's log how it went."""
        from hermes_train.training import ranks
        from hermes_train.training.watch.signals import deferred
        from hermes_train.training.watch.stage_log import EndReason, Entry, StageLog

        log = StageLog(folder.path)
        with deferred(), log.last_word(ranks.rank()):
            if ranks.is_main():
                log.open(Entry.START, f"{folder.stage} on {ranks.world_size()} ranks")
            yield
            if ranks.is_main():
                log.close(EndReason.FINISHED, f"{folder.stage} is done")

    def report(self) -> None:
        """Write the report and show the scores."""
        for table in score_tables(self.run_folder.path):
            self.console.print(table)
        self.console.print(f"report: {write_report(self.run_folder.path)}", highlight=False, soft_wrap=True)

    def require_earlier(self, stage: str) -> None:
        """Raise UserError where a stage that `stage` builds on is not done."""
        for earlier in BUILT_ON[stage]:
            standing = self.standing(earlier)
            if standing.state is not StageState.DONE:
                given = recipe_and_options(
                    str(self.loaded.path), self.run_folder.path.parent, self.loaded.overrides
                )
                command = shlex.join(["hermes-train", "run", *given, "--until", earlier])
                raise UserError(f"{stage} builds on {earlier}, which is {standing}; run `{command}` first")

    def _make_in_best_place(self, stage: str) -> None:
        """Train on all GPUs of this machine through torchrun; do everything else here."""
        from hermes_train.training.torchrun import gpus_here, run_on_ranks

        gpus = gpus_here() if stage in TRAINING else 0
        if gpus < 2:
            with self.run_folder.locked():
                self.make(stage)
            return
        command = [
            "hermes_train",
            stage,
            str(self.loaded.path),
            "--runs",
            str(self.run_folder.path.parent),
        ]
        run_on_ranks(gpus, [*command, *self.loaded.override_options], self.run_folder.stage(stage).path)

    def _maker(self, stage: str) -> Callable[[StageFolder], dict[str, Any]]:
        return {
            "prepare": self._prepare,
            "filter": self._filter,
            "pack": self._pack,
            "sft": self._sft,
            "hybrid": self._hybrid,
            "dpo": self._dpo,
            "evaluate": self._evaluate_all,
            "export": self._export,
        }[stage]

    def _folder(self, stage: str) -> Path:
        return self.run_folder.stage(stage).path

    def _prepare(self, folder: StageFolder) -> dict[str, Any]:
        from hermes_train.stages.prepare import prepare

        return prepare(self.recipe.model, self.recipe.seed, folder.path)

    def _filter(self, folder: StageFolder) -> dict[str, Any]:
        from hermes_train.stages.filter import filter_rows

        with self._progress("filter (shards)") as update:
            return filter_rows(self.recipe.data, self.recipe.evaluate.problems, folder.path, update)

    def _pack(self, folder: StageFolder) -> dict[str, Any]:
        from hermes_train.stages.pack import PackInputs, make_packs, processes_here

        recipe = self.recipe
        inputs = PackInputs(
            prepared=self._folder("prepare"),
            filtered=self._folder("filter"),
            model=recipe.model,
            sources=recipe.data.sources,
            pack=recipe.pack,
            sft_global_batch=recipe.sft.global_batch,
            hybrid=recipe.hybrid,
            dpo=recipe.dpo,
            refusals_right_for=recipe.data.verify.refusals.right_for,
            seed=recipe.seed,
            workers=processes_here(recipe.pack, recipe.data.engine, len(os.sched_getaffinity(0))),
            engine=recipe.data.engine,
        )
        with self._progress("pack (shards)") as update:
            figures = make_packs(inputs, folder.path, update)
        for line in mixture_lines(figures):
            self.console.print(line, highlight=False)
        return figures

    def _sft(self, folder: StageFolder) -> dict[str, Any]:
        from hermes_train.training.job import train_on_packs

        return train_on_packs(self._job(folder, self._folder("prepare")), self.recipe.sft)

    def _hybrid(self, folder: StageFolder) -> dict[str, Any]:
        from hermes_train.training.job import train_on_packs

        packed = self._hybrid_packs(folder)
        job = self._job(folder, self._folder("sft"), folder.path / "packs")
        return packed | train_on_packs(job, self.recipe.hybrid)

    def _hybrid_packs(self, folder: StageFolder) -> dict[str, Any]:
        """Put the packs of the hybrid stage together; returns their figures, which are complete on rank 0."""
        from hermes_train.packing.pack_index import INDEX
        from hermes_train.packing.rows import MakerPlan
        from hermes_train.stages.hybrid import HybridInputs, length_control_lines, make_hybrid_packs
        from hermes_train.training import ranks

        recipe, figures = self.recipe, self._packed("hybrid")
        inputs = HybridInputs(
            documents=self._folder("pack") / "hybrid",
            sft_model=self._folder("sft") / "model",
            plan=MakerPlan(self._folder("prepare") / "model", recipe.model, recipe.pack, recipe.seed),
            section=recipe.hybrid,
            length=recipe.hybrid.length or recipe.pack.length,
        )
        samples = self._sampled_thoughts(inputs) if figures["length_control_prompts"] else None
        packs = folder.path / "packs"
        if ranks.is_main():
            figures |= make_hybrid_packs(inputs, figures["paired_problems"], samples, packs)
            for line in length_control_lines(recipe.hybrid, figures):
                self.console.print(line, highlight=False)
        ranks.wait_until((packs / INDEX).exists)
        return figures

    def _sampled_thoughts(self, inputs: HybridInputs) -> Path:
        """Return the folder of the sampled thoughts; they stay when only the training changes."""
        from hermes_train.stages.hybrid import sample_thoughts
        from hermes_train.training import ranks

        folder = self.run_folder.stage("samples")
        wanted = self.inputs[folder.stage]
        if folder.standing(wanted).state is not StageState.DONE:
            started = time.perf_counter()
            if ranks.is_main():
                folder.begin(wanted)
            begun = (StageState.INTERRUPTED, StageState.DONE)
            ranks.wait_until(lambda: folder.standing(wanted).state in begun)
            with self._progress("hybrid (sampled thoughts)") as update:
                sample_thoughts(inputs, folder.path, update)
            if ranks.is_main():
                folder.finish(wanted, {}, time.perf_counter() - started)
        return folder.path

    def _dpo(self, folder: StageFolder) -> dict[str, Any]:
        from hermes_train.training.job import train_on_pairs

        figures = train_on_pairs(self._job(folder, self._folder("hybrid")), self.recipe.dpo)
        return self._packed("dpo") | figures

    def _packed(self, stage: str) -> dict[str, Any]:
        """Return what the pack stage made for a later one."""
        manifest = self.run_folder.stage("pack").manifest() or {"figures": {}}
        figures: dict[str, Any] = manifest["figures"].get(stage, {})
        return figures

    def _job(self, folder: StageFolder, origin: Path, data: Path | None = None) -> Any:
        from hermes_train.training.job import TrainingJob
        from hermes_train.training.local_cache import local_cache_folder

        holds_out = self.recipe.pack.held_out > 0 and folder.stage != "dpo"
        return TrainingJob(
            stage=folder.stage,
            run_name=self.recipe.name,
            seed=self.recipe.seed,
            model=self.recipe.model,
            parallel=self.recipe.parallel,
            wandb=self.recipe.tracking.wandb,
            origin=origin / "model",
            data=data or self._folder("pack") / folder.stage,
            folder=folder.path,
            console=self.console,
            facts={"versions": _versions(), "packs": self._packed_figures(folder.stage)},
            # SFT's own documents show as well what the hybrid stage forgets.
            held_out=self._folder("pack") / "sft" if holds_out else None,
            local_cache=local_cache_folder(),
        )

    def _packed_figures(self, stage: str) -> dict[str, Any]:
        """Return the numbers among the figures of the data that a training stage reads."""
        manifest = self.run_folder.stage("pack").manifest() or {"figures": {}}
        figures = manifest["figures"] if stage == "sft" else self._packed(stage)
        return {name: value for name, value in figures.items() if isinstance(value, int | float)}

    def _evaluate_all(self, folder: StageFolder) -> dict[str, Any]:
        return {model: self._evaluate(model) for model in MADE_BY}

    def _evaluate(self, model: str) -> dict[str, Any]:
        """Return the scores of one model, by mode; answers the problems unless that is done."""
        folder = self.run_folder.stage(f"evaluate/{model}")
        inputs: Inputs = self.inputs[folder.stage]
        if folder.standing(inputs).state is not StageState.DONE:
            from hermes_train.training import ranks

            ranks.use_cpu()
            from hermes_train.evaluation.generate import free_gpu_memory
            from hermes_train.packing.documents import load_maker
            from hermes_train.stages.evaluate import evaluate_model

            started = time.perf_counter()
            folder.begin(inputs)
            with self._progress(f"evaluate {model} (answers)") as update:
                figures = evaluate_model(
                    self.recipe.evaluate,
                    self.recipe.data.verify,
                    self._folder("filter") / PROBLEMS_FILE,
                    self._folder(MADE_BY[model]) / "model",
                    self.recipe.model.dtype,
                    load_maker(
                        self._folder("prepare") / "model",
                        self.recipe.model,
                        self.recipe.pack,
                        self.recipe.seed,
                    ),
                    folder.path,
                    update,
                )
            free_gpu_memory()
            folder.finish(inputs, figures, time.perf_counter() - started)
            if MADE_BY[model] in TRAINING:
                self._track_answers(MADE_BY[model], folder.path)
        manifest = folder.manifest() or {}
        scores: dict[str, Any] = manifest["figures"]["modes"]
        return scores

    def _track_answers(self, stage: str, evaluated: Path) -> None:
        """Lay the answers of the model that a training stage made beside the stage's curves."""
        from hermes_train.training.watch.metrics import read_metrics
        from hermes_train.training.watch.tracking import StageTracker

        folder = self._folder(stage)
        tracker = StageTracker(self.recipe.tracking.wandb, self.recipe.name, stage, folder)
        tracker.start({}, read_metrics(folder / "metrics.jsonl"))
        tracker.log_answers(evaluated)
        tracker.end()

    def _export(self, folder: StageFolder) -> dict[str, Any]:
        from hermes_train.stages.export import CardFacts, export_model

        recipe = self.recipe
        filtered = self.run_folder.stage("filter").manifest() or {}
        facts = CardFacts(
            name=recipe.name,
            description=recipe.description,
            base=recipe.model.base or "random weights",
            recipe_yaml=explain(self.loaded),
            funnel=filtered["figures"],
            scores={model: self._evaluate(model) for model in MADE_BY},
        )
        problems = self._folder("filter") / PROBLEMS_FILE
        return export_model(
            recipe.export, recipe.evaluate, self._folder("dpo") / "model", problems, facts, folder.path
        )

    def _progress(self, description: str) -> WorkBar:
        return WorkBar(self.console, description)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _VERSIONS_SHOWN}
