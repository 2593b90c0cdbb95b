import math

import pytest

from hermes_train.recipe.training_sections import DpoSection, SftSection, SpikeSection
from hermes_train.training.watch.loss_guard import LossGuard
from hermes_train.training.watch.stage_log import LossStoppedError


@pytest.mark.parametrize(("stage", "section"), [("sft", SftSection), ("dpo", DpoSection)])
def test_a_stop_offers_only_settings_that_the_stage_has(tmp_path, stage, section):
    folder = tmp_path / stage
    folder.mkdir()
    can_skip = "skip_documents" in section.model_fields
    guard = LossGuard(folder, SpikeSection(), lambda step: ["a/1"], print, can_skip=can_skip)

    with pytest.raises(LossStoppedError, match=f"lower {stage}.learning_rate") as stopped:
        guard.refuse_update(math.nan, None)

    assert ("skip_documents" in str(stopped.value)) == can_skip
    assert str(folder / "stopped_at_step_0.json") in str(stopped.value)
