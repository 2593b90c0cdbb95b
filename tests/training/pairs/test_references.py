"""The references step: named by content, kept in parts, and the same from one process and from ranks."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hermes_train.training.pairs import references
from hermes_train.training.pairs.pair_batches import PairData
from hermes_train.training.pairs.references import ReferenceCache, ReferenceKey, known_or_scored, model_digest
from hermes_train.training.watch.metrics import read_metrics

BF16_TOLERANCE = 1e-2
"""Largest relative difference of a step's loss between ranks and one process, where the model's weights are stored in
bfloat16: the weights' updates and the residual stream round in another way under DeepSpeed."""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(references, "PART_PAIRS", 4)
    return ReferenceCache(tmp_path, ReferenceKey("model", "pairs", 10, "fp32"))


class Scorer:
    """Scores pair n as (n, -n), and breaks down before a part."""

    def __init__(self, breaks_before=None):
        self.scored = []
        self.breaks_before = breaks_before

    @contextmanager
    def __call__(self):
        yield self._score

    def _score(self, pairs):
        if self.breaks_before in pairs:
            raise KeyboardInterrupt
        self.scored += pairs.tolist()
        return np.stack([pairs, -pairs], axis=1).astype(np.float32)


def ticks(_):
    pass


def test_a_killed_references_step_goes_on_after_its_last_whole_part(cache):
    with pytest.raises(KeyboardInterrupt):
        known_or_scored(cache, Scorer(breaks_before=8), ticks)
    again = Scorer()

    found = known_or_scored(cache, again, ticks)

    assert again.scored == [8, 9]
    assert found.computed == 2
    np.testing.assert_array_equal(found.sums, np.stack([np.arange(10), -np.arange(10)], axis=1))


def test_what_is_known_is_not_scored_again(cache):
    known_or_scored(cache, Scorer(), ticks)

    def never():
        pytest.fail("the model was asked again")

    assert known_or_scored(cache, never, ticks).computed == 0


@pytest.mark.parametrize("change", [{"model": "other"}, {"pairs": "other"}, {"compute": "bf16"}])
def test_another_model_other_pairs_or_another_precision_are_scored_anew(cache, change):
    known_or_scored(cache, Scorer(), ticks)
    key = ReferenceKey(**{"model": "model", "pairs": "pairs", "pair_count": 10, "compute": "fp32"} | change)

    assert known_or_scored(ReferenceCache(cache.folder, key), Scorer(), ticks).computed == 10


def test_a_model_is_named_by_its_bytes_wherever_it_lies(tiny_pairs, tmp_path):
    origin, copy = tiny_pairs.folder / "model", tmp_path / "copy"
    shutil.copytree(origin, copy)
    name = model_digest(origin, tmp_path / "cache")

    assert model_digest(copy, tmp_path / "cache") == name

    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert model_digest(copy, tmp_path / "cache") != name
    assert model_digest(origin, tmp_path / "cache") == name


def test_a_model_that_takes_anothers_place_has_a_name_of_its_own(tiny_pairs, tmp_path):
    shutil.copytree(tiny_pairs.folder / "model", tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    name = model_digest(tmp_path / "model", tmp_path / "cache")

    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    (tmp_path / "new").write_bytes(content)
    (tmp_path / "new").replace(weights)

    assert weights.stat().st_size == len(content)
    assert model_digest(tmp_path / "model", tmp_path / "cache") != name


def test_the_bytes_of_a_model_are_read_once(tiny_pairs, tmp_path, monkeypatch):
    origin = tiny_pairs.folder / "model"
    name = model_digest(origin, tmp_path)
    monkeypatch.setattr(references, "_file_digest", lambda file: pytest.fail(f"{file} was read again"))

    assert model_digest(origin, tmp_path) == name


def test_pairs_are_named_by_their_tokens(tiny_pairs, tmp_path):
    data = PairData(tiny_pairs.folder / "pairs", 0)
    shutil.copytree(tiny_pairs.folder / "pairs", tmp_path / "pairs")

    assert PairData(tmp_path / "pairs", 7).fingerprint() == data.fingerprint()


@pytest.fixture(scope="module")
def trained(tiny_pairs, tmp_path_factory):
    """The folders in which one process and two ranks under ZeRO-3 have trained."""
    script = Path(__file__).with_name("pairs_on_ranks.py")
    folders = {}
    for count in (1, 2):
        folders[count] = tmp_path_factory.mktemp(f"ranks{count}")
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"] if count == 2 else []
        done = subprocess.run(
            [sys.executable, *launcher, script, tiny_pairs.folder, folders[count]],
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folders


def losses(folder, precision):
    return [line["loss"] for line in read_metrics(folder / precision / "dpo" / "metrics.jsonl")]


def sums(folder, precision):
    (part,) = (folder / precision / "references").glob("*/part-*.npy")
    return np.load(part)


@pytest.mark.distributed
@pytest.mark.long
def test_two_zero_3_ranks_compute_the_references_of_one_process(trained):
    np.testing.assert_allclose(sums(trained[2], "fp32"), sums(trained[1], "fp32"), rtol=2e-6)


@pytest.mark.distributed
@pytest.mark.long
def test_two_zero_3_ranks_give_the_dpo_losses_of_one_process(trained):
    assert losses(trained[2], "fp32") == pytest.approx(losses(trained[1], "fp32"), rel=1e-5)


@pytest.mark.distributed
@pytest.mark.long
def test_two_zero_3_ranks_stay_near_one_process_in_bfloat16(trained):
    assert losses(trained[2], "bf16") == pytest.approx(losses(trained[1], "bf16"), rel=BF16_TOLERANCE)
