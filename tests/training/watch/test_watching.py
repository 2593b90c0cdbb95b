"""What is seen of a stage while it trains, and what ends it: on the real path, in this process."""

import io
import json
import math
import shutil

import pytest
import torch
from rich.console import Console
from transformers import Trainer, TrainingArguments

from data_filters.errors import UserError
from hermes_train.pipeline import Pipeline
from hermes_train.recipe.load import load_recipe
from hermes_train.training.watch.metrics import read_metrics
from hermes_train.training.watch.stage_log import DiskFullError, EndReason, LossStoppedError, StageLog
from hermes_train.training.watch.step_timing import Phase
from hermes_train.training.watch.watched_steps import WatchedSteps

pytestmark = pytest.mark.long


def pipeline(smoke, runs, *settings):
    console = Console(file=io.StringIO(), width=200)
    return Pipeline(load_recipe(smoke, ["sft.steps=12", "sft.save_every=4", *settings]), runs, console)


def said(made):
    return made.console.file.getvalue()


@pytest.fixture(scope="module")
def trained(packed_runs, smoke, tmp_path_factory):
    """A pipeline that has trained SFT and evaluated it, tracked by W&B offline."""
    runs = tmp_path_factory.mktemp("trained") / "runs"
    shutil.copytree(packed_runs, runs)
    made = pipeline(smoke, runs, "tracking.wandb.mode=offline", "pack.workers=1")
    made.make("sft")
    made._evaluate("sft")
    return made


@pytest.fixture(scope="module")
def stage(trained):
    return trained.run_folder.path / "sft"


def test_every_step_has_its_figures(stage):
    for line in read_metrics(stage / "metrics.jsonl"):
        phases = [line[f"seconds_{phase}"] for phase in Phase]
        assert min(phases) > 0
        assert sum(phases) <= line["seconds"] + 1e-3
        assert line["tokens_per_second"] == pytest.approx(line["tokens"] / line["seconds"], rel=0.01)
        assert line["label_tokens_per_second"] == pytest.approx(
            line["label_tokens"] / line["seconds"], rel=0.01
        )
        # 6 N operations for each token and some for attention: this N is 0.1 million.
        assert 1e5 < line["flops_per_second"] * line["seconds"] / line["tokens"] < 1e7
        assert 1e8 < line["peak_memory"] < 1e10
        assert {"loss", "lr", "grad_norm"} < set(line)


def test_the_console_shows_loss_speed_and_time_left(trained):
    shown = [line for line in said(trained).splitlines() if line.startswith("sft 6/12")]

    assert len(shown) == 1
    assert all(word in shown[0] for word in ("loss", "tokens/s", "left"))


def test_the_log_tells_of_the_stage_from_start_to_end(stage):
    kinds = [line.split(" ", 1)[1] for line in (stage / "log.txt").read_text().splitlines()]

    assert kinds[0] == "start: sft on 1 ranks"
    assert [kind for kind in kinds if kind.startswith("saved")] == [
        f"saved: checkpoint-{step}" for step in (4, 8, 12)
    ]
    assert kinds[-1] == "end (finished): sft is done"


def test_wandb_has_one_run_with_the_figures_of_each_step_and_the_answers(stage, wandb_records):
    records = [record for part in wandb_records(stage) for record in part]
    runs = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    rows = [
        {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    steps = [line["loss"] for line in read_metrics(stage / "metrics.jsonl")]

    assert {run.run_id for run in runs} == {(stage / "wandb_id.txt").read_text()}
    assert [json.loads(row["loss"]) for row in rows if "loss" in row] == pytest.approx(steps)
    assert {item.key for item in runs[0].config.update} >= {"learning_rate", "versions", "packs"}
    assert any(key.startswith("answers") for row in rows for key in row)


def test_wandb_gets_the_table_of_answers_and_no_weights(stage):
    sent = [path for path in stage.glob("wandb/offline-run-*/files/**/*") if path.is_file()]
    (table,) = [json.loads(path.read_text()) for path in sent if path.name.endswith(".table.json")]
    answers = (stage.parent / "evaluate" / "sft" / "answers.jsonl").read_text().splitlines()

    assert table["columns"] == [
        "id",
        "mode",
        "kind",
        "prompt",
        "text",
        "tokens",
        "correct",
        "outcome",
        "reason",
    ]
    assert len(table["data"]) == len(answers)
    assert not any(path.suffix in {".safetensors", ".pt", ".bin"} for path in sent)


def test_a_loss_that_is_no_number_ends_the_run_in_one_line_with_its_documents(runs, smoke):
    made = pipeline(smoke, runs, "sft.learning_rate=1e30", "sft.warmup_steps=0", "sft.save_every=1")
    stage = runs / "smoke" / "sft"

    with pytest.raises(LossStoppedError, match=r"stopped at step 2: .*nan.*-o 'sft.skip_documents=\["):
        made.make("sft")

    stopped = json.loads((stage / "stopped_at_step_2.json").read_text())
    assert (stopped["step"], stopped["grad_norm"]) == (2, "nan")
    assert stopped["documents"]
    assert StageLog(stage).end().reason is EndReason.LOSS
    assert [path.name for path in stage.glob("checkpoint-*")] == ["checkpoint-1"]


def test_a_run_that_stopped_for_a_leap_goes_on_without_the_documents_of_that_step(runs, smoke):
    stage = runs / "smoke" / "sft"
    leaps = (
        *("sft.spikes.action=stop", "sft.spikes.window=8"),
        *("sft.spikes.deviations=0.0001", "sft.spikes.ratio=1.0001"),
    )
    # At this rate some loss is above the mean of the eight before it, and by these settings that is a spike.
    rate = (
        "sft.learning_rate=0.03",
        "sft.warmup_steps=0",
        "sft.schedule=constant_with_warmup",
        "sft.steps=40",
    )
    with pytest.raises(LossStoppedError, match=r"the loss is .*, and the .* steps before have"):
        pipeline(smoke, runs, *rate, *leaps).make("sft")
    (stopped,) = stage.glob("stopped_at_step_*.json")
    step = json.loads(stopped.read_text())["step"]

    going_on = pipeline(smoke, runs, *rate, f"sft.skip_documents=[{stopped}]")
    going_on.make("sft")

    lines = read_metrics(stage / "metrics.jsonl")
    assert "sft goes on after step" in said(going_on)
    assert [line["step"] for line in lines] == list(range(1, 41))
    assert (lines[step - 1]["label_tokens"], lines[step - 1]["loss"]) == (0, 0.0)
    assert all(math.isfinite(line["loss"]) for line in lines)


def test_a_disk_without_room_for_another_checkpoint_ends_the_run_and_keeps_the_last(runs, smoke, monkeypatch):
    monkeypatch.setattr("hermes_train.training.resume.disk.WAIT_SECONDS", 0.0)
    monkeypatch.setattr("hermes_train.training.resume.checkpoints.bytes_of", lambda checkpoint: 10**18)

    with pytest.raises(DiskFullError, match=r"GB free, and a checkpoint takes 1000000000\.00 GB; make room"):
        pipeline(smoke, runs).make("sft")

    stage = runs / "smoke" / "sft"
    assert StageLog(stage).end().reason is EndReason.DISK
    assert (stage / "checkpoint-4" / "complete.json").exists()
    monkeypatch.undo()
    going_on = pipeline(smoke, runs)
    going_on.make("sft")
    assert "sft goes on after step 4" in said(going_on)


def test_a_stage_killed_before_it_counts_as_done_goes_on_from_its_last_step(runs, smoke, monkeypatch):
    stage = runs / "smoke" / "sft"

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("hermes_train.runs.StageFolder.finish", killed)
    with pytest.raises(KeyboardInterrupt):
        pipeline(smoke, runs).make("sft")
    monkeypatch.undo()
    steps = read_metrics(stage / "metrics.jsonl")

    going_on = pipeline(smoke, runs)
    going_on.make("sft")

    assert "sft goes on after step 12" in said(going_on)
    # With the times of the steps: none was done again.
    assert read_metrics(stage / "metrics.jsonl") == steps
    assert json.loads((stage / "manifest.json").read_text())["figures"]["steps"] == 12
    assert not list(stage.glob("checkpoint-*"))


class Line(torch.nn.Module):
    """y = weight x; its loss is no number where x is none."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, labels):
        return {"loss": ((self.weight * x - labels) ** 2).mean()}


class LineTrainer(WatchedSteps, Trainer):
    pass


def test_an_update_that_would_spoil_the_weights_is_not_made(tmp_path):
    rows = [{"x": x, "labels": 3.0} for x in (1.0, math.nan)]
    settings = {"max_steps": 2, "per_device_train_batch_size": 1, "use_cpu": True, "report_to": []}
    arguments = TrainingArguments(
        str(tmp_path), disable_tqdm=True, train_sampling_strategy="sequential", **settings
    )
    trainer = LineTrainer(Line(), arguments, train_dataset=rows)
    refused = []

    def refuse(loss, grad_norm):
        refused.append((loss, grad_norm, trainer.state.global_step))
        raise LossStoppedError

    class Ready(type(trainer.callback_handler.callbacks[0])):
        def on_train_begin(self, *args, **kwargs):
            trainer.watch_updates(refuse)

    trainer.add_callback(Ready())
    with pytest.raises(LossStoppedError):
        trainer.train()

    assert len(refused) == 1
    assert math.isnan(refused[0][0])
    assert refused[0][2] == 1
    assert torch.isfinite(trainer.model.weight).all()
    assert trainer.model.weight != 1


def test_an_id_to_skip_that_no_document_has_is_refused(runs, smoke):
    with pytest.raises(
        UserError, match=r"no document with the id 'sums/nope' \(1 of 1 ids are unknown there\)"
    ):
        pipeline(smoke, runs, "sft.skip_documents=sums/nope").make("sft")
