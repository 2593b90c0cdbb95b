import json
import math

import pytest
from transformers import TrainerControl, TrainerState

from hermes_train.recipe.training_sections import DpoSection, SftSection, SpikeSection
from hermes_train.training.watch.loss_guard import LossGuard
from hermes_train.training.watch.stage_log import LossStoppedError


def guard(folder, skipped=(), warn=print, **spikes):
    folder.mkdir(exist_ok=True)
    return LossGuard(folder, SpikeSection(**spikes), lambda step: ["a/1"], warn, skipped=skipped)


def log(guard, step, loss):
    guard.on_log(None, TrainerState(global_step=step), TrainerControl(), {"loss": loss, "grad_norm": 1.0})


@pytest.mark.parametrize(("stage", "section"), [("sft", SftSection), ("dpo", DpoSection)])
def test_a_stop_offers_only_settings_that_the_stage_has(tmp_path, stage, section):
    folder = tmp_path / stage
    can_skip = "skip_documents" in section.model_fields

    with pytest.raises(LossStoppedError, match=f"lower {stage}.learning_rate") as stopped:
        guard(folder, () if can_skip else None).refuse_update(math.nan, None)

    assert ("skip_documents" in str(stopped.value)) == can_skip
    assert str(folder / "stopped_at_step_0.json") in str(stopped.value)


def test_a_second_stop_offers_to_skip_what_the_first_one_named_as_well(tmp_path):
    first = str(tmp_path / "sft" / "stopped_at_step_310.json")

    with pytest.raises(LossStoppedError) as stopped:
        guard(tmp_path / "sft", ["gsm8k/17", first]).refuse_update(math.nan, None)

    second = tmp_path / "sft" / "stopped_at_step_0.json"
    assert f"-o 'sft.skip_documents=[gsm8k/17, {first}, {second}]'" in str(stopped.value)


@pytest.mark.parametrize("steps", [12, 40])
def test_a_run_that_goes_on_judges_a_step_as_the_unbroken_one(tmp_path, steps):
    """Leaps that were gone on from do not widen what counts as usual."""
    losses = [9.0 if step % 5 == 0 and step > 9 else 1.0 for step in range(1, steps + 1)]
    told = {"unbroken": [], "resumed": []}
    unbroken, resumed = (
        guard(tmp_path / name, warn=told[name].append, action="warn", window=20) for name in told
    )
    lines = [{"step": step, "loss": loss, "grad_norm": 1.0} for step, loss in enumerate(losses, 1)]
    (tmp_path / "resumed" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for line in lines:
        log(unbroken, line["step"], line["loss"])
    told["unbroken"].clear()

    resumed.on_train_begin(None, TrainerState(global_step=steps), TrainerControl())
    for further, loss in enumerate((1.4, 1.6, 9.0), steps + 1):
        log(unbroken, further, loss)
        log(resumed, further, loss)

    assert told["resumed"] == told["unbroken"]
    assert told["resumed"][-1].startswith(f"step {steps + 3} leaps")
