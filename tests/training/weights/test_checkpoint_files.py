import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from data_filters.errors import UserError
from hermes_train.training.weights.checkpoint_files import open_checkpoint, read_header, same_values


def test_tensors_are_compared_byte_by_byte(tmp_path, write_shards):
    table = torch.randn(1200, 500)
    other = table.clone()
    other[-1, -1] += 1
    tensors = write_shards(
        tmp_path, {"a": table, "same": table.clone(), "other": other, "flat": table.flatten().clone()}
    ).tensors

    assert same_values(tensors["a"], tensors["same"])
    assert not same_values(tensors["a"], tensors["other"])
    assert not same_values(tensors["a"], tensors["flat"])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_file_cut_anywhere_is_refused_with_its_name(tmp_path_factory, write_shards, data):
    folder = tmp_path_factory.mktemp("cut")
    write_shards(folder, {"a": torch.ones(3, 2), "b": torch.arange(4)})
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])

    with pytest.raises(UserError, match=r"model\.safetensors is damaged .* fetch it again"):
        read_header(file)


def test_a_missing_shard_is_named(tmp_path, write_shards):
    write_shards(tmp_path, {"a": torch.ones(3)}, {"b": torch.ones(3)})
    (tmp_path / "model-00002-of-00002.safetensors").unlink()

    with pytest.raises(UserError, match=r"lacks 1 of the 2 files .* model-00002-of-00002\.safetensors"):
        open_checkpoint(tmp_path)


def test_an_index_that_names_a_tensor_no_file_has_is_refused(tmp_path, write_shards):
    write_shards(tmp_path, {"a": torch.ones(3)}, {"b": torch.ones(3)})
    save_file({"c": torch.ones(3)}, tmp_path / "model-00002-of-00002.safetensors")

    with pytest.raises(UserError, match="names b, but no file has it"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 1}', '{"weight_map": {}}'])
def test_a_damaged_index_is_refused(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)

    with pytest.raises(UserError, match=r"index\.json is damaged"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_pickled_weights_are_refused_with_the_way_to_convert_them(tmp_path, name):
    (tmp_path / name).touch()

    with pytest.raises(UserError, match=r"stores its weights as pytorch_model\.bin.*save_pretrained\(NEW\)"):
        open_checkpoint(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"neither model\.safetensors nor model\.safetensors\.index\.json"):
        open_checkpoint(tmp_path)
