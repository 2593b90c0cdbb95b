"""A rank of small DPO stages that start from one model, in both precisions.

    torchrun --nproc_per_node 2 pairs_on_ranks.py FOLDER OUT

FOLDER has `model/` and `pairs/`. Each stage is trained in OUT/PRECISION/dpo.
"""

import sys
from pathlib import Path

from rich.console import Console

from hermes_train.recipe.schema import ModelSection, RandomModel, WandbSection
from hermes_train.recipe.training_sections import DpoSection, ParallelSection
from hermes_train.training.job import TrainingJob, train_on_pairs


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    for precision in ("fp32", "bf16"):
        job = TrainingJob(
            stage="dpo",
            run_name="ranks",
            seed=5,
            model=ModelSection(random=RandomModel(), template="llama3", attention="sdpa", dtype="float32"),
            parallel=ParallelSection(),
            wandb=WandbSection(),
            origin=folder / "model",
            data=folder / "pairs",
            folder=out / precision / "dpo",
            console=Console(file=sys.stderr),
            facts={},
        )
        job.folder.mkdir(parents=True, exist_ok=True)
        section = DpoSection(
            steps=6,
            learning_rate=2e-4,
            global_batch=8,
            precision=precision,
            beta=0.3,
            max_length=96,
            sft_weight=0.1,
        )
        train_on_pairs(job, section)


main()
