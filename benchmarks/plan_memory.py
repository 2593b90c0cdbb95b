"""What `hermes-train plan` says of memory, beside what the ranks of a real SFT stage hold.

    python benchmarks/plan_memory.py RECIPE [--ranks 1 --ranks 2 --ranks 4] [--runs DIR] [--json] [-o KEY=VALUE]

Runs the recipe's SFT stage for three steps on CPU ranks (gloo; ZeRO-3 where there are several), through the project's
own command, and measures on every rank:

- weights, gradients, optimizer: the bytes of the tensors that the rank keeps from step to step;
- activations: the bytes that autograd has saved when the forward pass is over, by saved-tensor hooks, each storage
  once, weights left out;
- checkpoint: the bytes of a checkpoint, of all ranks together.

A CPU has one path of attention whose memory is that of a GPU's: SDPA with a mask; so the recipe's is set to it.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hermes_train.plan.activations import held_after_forward
from hermes_train.plan.base import find_model
from hermes_train.plan.disk import checkpoint_bytes
from hermes_train.plan.gpus import Machines, find_gpu
from hermes_train.plan.stages import rank_work, stage_shapes
from hermes_train.plan.states import model_states
from hermes_train.recipe.load import load_recipe
from hermes_train.recipe.schema import Recipe
from hermes_train.runs import RunFolder

STEPS = 3
SAVED_AT = 2
MEASURED = "HERMES_TRAIN_MEASURED"
"""The environment variable that names the folder in which ranks write what they measured."""


@dataclass(frozen=True)
class Comparison:
    """Bytes of one part on one rank; rank 0 tells the checkpoint of all."""

    ranks: int
    rank: int
    part: str
    predicted: int
    measured: int

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted / self.measured


def compare(recipe_file: Path, settings: list[str], runs: Path, ranks: int) -> Iterator[Comparison]:
    """Run the SFT stage on a number of ranks and yield the parts of each rank."""
    recipe = load_recipe(recipe_file, settings).recipe
    run_folder = RunFolder(runs / recipe.name)
    command = [str(recipe_file), "--runs", str(runs), *(part for item in settings for part in ("-o", item))]
    if run_folder.stage("pack").manifest() is None:
        for stage in ("prepare", "filter", "pack"):
            _run([sys.executable, "-m", "hermes_train", stage, *command])
    shutil.rmtree(run_folder.stage("sft").path, ignore_errors=True)
    measured = runs / "measured"
    shutil.rmtree(measured, ignore_errors=True)
    measured.mkdir(parents=True)
    launcher = (
        ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
    )
    _run([sys.executable, *launcher, __file__, "worker", "sft", *command], {MEASURED: str(measured)})
    predicted = _predicted(recipe, run_folder, ranks)
    for rank in range(ranks):
        found = json.loads((measured / f"{rank}.json").read_text())
        yield from (Comparison(ranks, rank, part, predicted[part], size) for part, size in found.items())


def all_settings(recipe_file: Path, overrides: list[str], counts: list[int]) -> list[str]:
    """Return the overrides of all runs: a short stage whose steps can be dealt to every one of the numbers of ranks."""
    settings = [f"sft.steps={STEPS}", "sft.warmup_steps=0", f"sft.save_every={SAVED_AT}", "sft.micro_batch=1"]
    settings += ["model.attention=sdpa", "parallel.zero_stage=3"]
    together = math.lcm(*counts)
    if load_recipe(recipe_file, overrides).recipe.sft.global_batch % together:
        settings.append(f"sft.global_batch={together}")
    return [*overrides, *settings]


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, env=os.environ | (environment or {}), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )


def _predicted(recipe: Recipe, run_folder: RunFolder, ranks: int) -> dict[str, int]:
    architecture = find_model(recipe.model, run_folder).architecture
    shape = next(stage_shapes(recipe, ranks))
    work = rank_work(recipe, shape, architecture, Machines(1, ranks, find_gpu("h100")))
    states = model_states(work.trained, work.sharding, work.forward.compute)
    # Autograd saves autocast's copies of the weights as it saves activations.
    activations = held_after_forward(architecture, work.forward) + work.autocast_copies()
    return {
        "weights": states.weights,
        "gradients": states.gradients,
        "optimizer": states.optimizer,
        "activations": activations,
        "checkpoint": checkpoint_bytes(work),
    }


def worker() -> None:
    """Be one rank: the project's own command, with a trainer that measures its last steps."""
    from hermes_train.cli import main
    from hermes_train.training.pack_trainer import PackTrainer

    plain_step = PackTrainer.training_step

    def measured_step(trainer: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        import torch

        saved = _Saved(model)
        with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda tensor: tensor):
            loss = plain_step(trainer, model, inputs, *args, **kwargs)
        # By now the optimizer has its moments, and a checkpoint stands.
        if trainer.state.global_step == SAVED_AT:
            figures = _states(trainer, model) | {"activations": saved.bytes}
            rank = os.environ.get("RANK", "0")
            if rank == "0":
                figures["checkpoint"] = _size(Path(trainer.args.output_dir) / f"checkpoint-{SAVED_AT}")
            (Path(os.environ[MEASURED]) / f"{rank}.json").write_text(json.dumps(figures))
        return loss

    PackTrainer.training_step = measured_step
    main()


class _Saved:
    """What autograd saves, each storage once, without the weights. All of it is held until the step is over, so that
    no two storages have the same address."""

    def __init__(self, model: Any) -> None:
        self._parameters = list(model.parameters())
        self._saved: dict[int, Any] = {}

    def pack(self, tensor: Any) -> Any:
        """Take note of a tensor that autograd saves."""
        storage = tensor.untyped_storage()
        # Asked anew each time: under ZeRO-3 a weight has a storage of its own only while it is in use.
        weights = {parameter.untyped_storage().data_ptr() for parameter in self._parameters}
        if storage.data_ptr() not in weights:
            self._saved[storage.data_ptr()] = storage
        return tensor

    @property
    def bytes(self) -> int:
        """Bytes of all that was saved."""
        return sum(storage.nbytes() for storage in self._saved.values())


def _states(trainer: Any, model: Any) -> dict[str, int]:
    """Return the bytes of weights, gradients and optimizer that this rank keeps."""
    parameters = list(model.parameters())
    if hasattr(model, "optimizer"):
        engine = model.optimizer
        moments = engine.optimizer.state.values()
        return {
            "weights": sum(_bytes(parameter.ds_tensor) for parameter in parameters),
            "gradients": _bytes(engine.grad_partitions_flat_buffer),
            "optimizer": sum(map(_bytes, engine.fp32_partitioned_groups_flat)) + _moments(moments),
        }
    return {
        "weights": sum(map(_bytes, parameters)),
        "gradients": sum(_bytes(parameter.grad) for parameter in parameters if parameter.grad is not None),
        "optimizer": _moments(trainer.optimizer.state.values()),
    }


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _moments(states: Iterable[dict[str, Any]]) -> int:
    return sum(_bytes(state[name]) for state in states for name in ("exp_avg", "exp_avg_sq"))


def _bytes(tensor: Any) -> int:
    return tensor.numel() * tensor.element_size()


def report(
    recipe: Path,
    ranks: Annotated[list[int] | None, typer.Option(help="Numbers of ranks.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs/plan_memory"),
    as_json: Annotated[bool, typer.Option("--json")] = False,
    override: Annotated[list[str] | None, typer.Option("-o")] = None,
) -> None:
    """Print predicted and measured bytes of each rank."""
    counts = ranks or [1, 2, 4]
    settings = all_settings(recipe, override or [], counts)
    found = [line for count in counts for line in compare(recipe, settings, runs, count)]
    if as_json:
        typer.echo(json.dumps([vars(line) | {"ratio": line.ratio} for line in found]))
        return
    table = Table("ranks", "rank", "part", "predicted", "measured", "ratio")
    for line in found:
        table.add_row(
            *(str(line.ranks), str(line.rank), line.part),
            *(f"{line.predicted:,}", f"{line.measured:,}", f"{line.ratio:.3f}"),
        )
    Console().print(table)


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        del sys.argv[1]
        worker()
    else:
        typer.run(report)
