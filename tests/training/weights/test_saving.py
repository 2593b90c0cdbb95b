"""The finished model is written as it comes, and what was written is looked at before it counts."""

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_stages import write_model
from transformers import AutoModelForCausalLM

from hermes_train.recipe.training_sections import LoraSection
from hermes_train.training.arguments import lora_config
from hermes_train.training.weights.checkpoint_files import open_checkpoint
from hermes_train.training.weights.model_files import TensorPlan, plan_files, write_model_files
from hermes_train.training.weights.reopening import SavedModelError, check_model
from hermes_train.training.weights.saving import save_trained

FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("origin") / "model")


@pytest.fixture
def tied(tmp_path):
    return write_model(tmp_path / "tied", tied_embeddings=True)


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto")


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16])
def test_a_model_in_several_files_opens_to_the_weights_that_were_saved(origin, tmp_path, dtype):
    model = load(origin)
    save_trained(model, origin, tmp_path / "saved", dtype, None, shard_bytes=100_000)

    saved = load(tmp_path / "saved")

    assert len(list(tmp_path.glob("saved/model-*.safetensors"))) > 2
    assert saved.dtype is dtype
    for name, weight in saved.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name].to(dtype)), name


def test_a_tied_head_is_stored_once(tied, tmp_path):
    save_trained(load(tied), tied, tmp_path / "saved", FLOAT32, None)

    assert "lm_head.weight" not in open_checkpoint(tmp_path / "saved").tensors
    assert load(tmp_path / "saved").config.tie_word_embeddings


def test_adapters_are_merged_as_peft_merges_them(origin, tmp_path):
    lora = LoraSection(rank=4, alpha=8)
    torch.manual_seed(3)
    model = peft.get_peft_model(load(origin), lora_config(lora))
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    save_trained(model, origin, tmp_path / "saved", FLOAT32, lora)

    merged = model.merge_and_unload().state_dict()

    for name, weight in load(tmp_path / "saved").state_dict().items():
        torch.testing.assert_close(weight, merged[name])


def test_an_adapter_that_belongs_to_no_weight_is_told_and_no_model_is_left(origin, tmp_path):
    lora = LoraSection(rank=4, alpha=8)
    model = peft.get_peft_model(load(origin), lora_config(lora))
    shorter = write_model(tmp_path / "shorter", layers=1)

    with pytest.raises(ValueError, match=r"layers\.1\..*belong to no weight"):
        save_trained(model, shorter, tmp_path / "saved", FLOAT32, lora)

    assert not (tmp_path / "saved").exists()


def rewritten(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda tensors: tensors.pop("model.norm.weight"),
            "1 tensors differ by name; model.norm.weight is missing",
        ),
        (lambda tensors: tensors.update(stray=torch.zeros(1)), "stray has no place in the model"),
        (
            lambda tensors: tensors.update({"model.norm.weight": torch.ones(3)}),
            r"stored as F32 \[3\], but the model",
        ),
        (lambda tensors: tensors.update({"model.norm.weight": torch.ones(64).half()}), "stored as F16"),
        (
            lambda tensors: tensors["model.norm.weight"].fill_(torch.nan),
            "model.norm.weight has values that are no",
        ),
    ],
    ids=["missing", "stray", "shape", "dtype", "not a number"],
)
def test_a_saved_model_that_is_not_the_model_is_told(tmp_path, change, told):
    folder = rewritten(write_model(tmp_path / "model"), change)

    with pytest.raises(SavedModelError, match=told):
        check_model(folder, FLOAT32)


def test_a_model_with_a_value_that_is_no_number_never_takes_its_place(origin, tmp_path):
    model = load(origin)
    model.model.norm.weight.data[0] = torch.inf

    with pytest.raises(SavedModelError):
        save_trained(model, origin, tmp_path / "saved", FLOAT32, None)

    assert not (tmp_path / "saved").exists()


def test_files_are_as_full_as_the_next_tensor_allows_and_a_larger_one_has_its_own():
    sizes = [3, 4, 20, 1, 9]
    plan = [TensorPlan(str(number), (size,), FLOAT32) for number, size in enumerate(sizes)]

    files = plan_files(plan, shard_bytes=40)

    assert [[tensor.shape[0] for tensor in tensors] for tensors in files.values()] == [[3, 4], [20], [1, 9]]
    assert next(iter(files)) == "model-00001-of-00003.safetensors"


def test_a_tensor_out_of_order_is_refused(tmp_path):
    plan = [TensorPlan("a", (2,), FLOAT32), TensorPlan("b", (2,), FLOAT32)]

    with pytest.raises(ValueError, match=r"a \[2\] torch.float32 was to come, but b"):
        write_model_files(tmp_path, plan, iter([("b", torch.zeros(2))]), 100)
