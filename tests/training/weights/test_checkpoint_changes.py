import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from data_filters.errors import RunFailedError
from hermes_train.training.weights.checkpoint_changes import (
    Changes,
    NewRows,
    disk_full_told,
    write_checkpoint,
)
from hermes_train.training.weights.checkpoint_files import open_checkpoint, row_parts

BF16 = torch.bfloat16


def read_model(folder):
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def equal(one, other):
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)


def test_what_does_not_change_is_copied_byte_for_byte(tmp_path, write_shards):
    checkpoint = write_shards(tmp_path / "old", {"a": torch.ones(3, 2, dtype=BF16), "b": torch.arange(4)})

    write_checkpoint(checkpoint, Changes(BF16), tmp_path / "new")

    old, new = (tmp_path / name / "model.safetensors" for name in ("old", "new"))
    assert old.read_bytes() == new.read_bytes()
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("dtype", [BF16, torch.float32])
def test_new_rows_are_written_others_stay_and_rows_of_no_token_are_zero(tmp_path, dtype, write_shards):
    table = torch.randn(5, 3, dtype=BF16)
    checkpoint = write_shards(tmp_path / "old", {"table": table, "other": torch.ones(2, dtype=BF16)})
    values = torch.randn(2, 3)

    write_checkpoint(checkpoint, Changes(dtype, {"table": NewRows(8, (1, 6), values)}), tmp_path / "new")

    written = read_model(tmp_path / "new")
    assert equal(written["other"], torch.ones(2, dtype=dtype))
    assert written["table"].shape == (8, 3)
    assert equal(written["table"][[0, 2, 3, 4]], table[[0, 2, 3, 4]].to(dtype))
    assert equal(written["table"][[1, 6]], values.to(dtype))
    assert (written["table"][[5, 7]] == 0).all()


def test_a_tensor_longer_than_the_parts_that_are_read_comes_out_whole(tmp_path, write_shards):
    table = torch.randn(3001, 500)
    checkpoint = write_shards(tmp_path / "old", {"table": table})

    write_checkpoint(checkpoint, Changes(BF16), tmp_path / "new")

    assert equal(read_model(tmp_path / "new")["table"], table.to(BF16))
    assert equal(torch.cat(list(row_parts(checkpoint.tensors["table"]))), table)


shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
dtypes = st.sampled_from(
    [BF16, torch.float16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool]
)
shards = st.lists(st.lists(st.tuples(shapes, dtypes), min_size=1, max_size=4), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(shards, st.sampled_from([BF16, torch.float32]), st.data())
def test_any_checkpoint_comes_out_with_its_floats_converted_and_without_what_is_dropped(
    tmp_path_factory, write_shards, layout, dtype, data
):
    folder = tmp_path_factory.mktemp("any")
    given_shards = [
        {f"{number}.{at}": (torch.rand(shape) * 9).to(kind) for at, (shape, kind) in enumerate(shard)}
        for number, shard in enumerate(layout)
    ]
    names = [name for shard in given_shards for name in shard]
    dropped = data.draw(st.sets(st.sampled_from(names), max_size=len(names) - 1))
    checkpoint = write_shards(folder / "old", *given_shards)

    write_checkpoint(checkpoint, Changes(dtype, dropped=dropped), folder / "new")

    written = read_model(folder / "new")
    expected = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for shard in given_shards
        for name, tensor in shard.items()
        if name not in dropped
    }
    assert written.keys() == expected.keys()
    assert all(equal(written[name], expected[name]) for name in expected)


def test_the_index_names_every_tensor_and_its_total_is_that_of_the_bytes(tmp_path, write_shards):
    checkpoint = write_shards(
        tmp_path / "old", {"a": torch.ones(3, 2)}, {"gone": torch.ones(9)}, {"b": torch.ones(5, 2)}
    )

    write_checkpoint(checkpoint, Changes(BF16, dropped=["gone"]), tmp_path / "new")

    index = json.loads((tmp_path / "new" / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_parameters": 16, "total_size": 32}
    assert index["weight_map"] == {
        "a": "model-00001-of-00003.safetensors",
        "b": "model-00003-of-00003.safetensors",
    }
    assert not (tmp_path / "new" / "model-00002-of-00003.safetensors").exists(), "it has no tensor left"


def test_a_checkpoint_larger_than_the_free_disk_is_refused_before_anything_is_written(tmp_path):
    # A sparse file: its terabytes take no room.
    size = 4 << 40
    header = json.dumps({"a": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size]}}).encode()
    file = tmp_path / "model.safetensors"
    with file.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        out.truncate(8 + len(header) + size)

    with pytest.raises(RunFailedError, match=r"GB free; the prepared model needs 4398\.0 GB: make room"):
        write_checkpoint(open_checkpoint(tmp_path), Changes(BF16), tmp_path / "new")
    assert not any((tmp_path / "new").iterdir())


def test_a_disk_that_fills_up_on_the_way_is_told_in_one_line(tmp_path):
    with (
        pytest.raises(RunFailedError, match=r"is full; the prepared model needs 0\.0 GB: make room"),
        disk_full_told(tmp_path, needed=1),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"a")
