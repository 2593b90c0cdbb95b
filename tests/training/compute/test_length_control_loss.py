"""Rows of length control teach where a thought ends, and nothing of what it says."""

import pytest
import torch

from data_filters.samples import Message, Sample
from hermes_train.chat.history import cut_thought
from hermes_train.packing.bins import pack
from hermes_train.packing.dataset import PackedData
from hermes_train.packing.documents import Tally, load_maker
from hermes_train.packing.store import PackIndex, write_store
from hermes_train.recipe.schema import ModelSection, PackSection, RandomModel
from hermes_train.stages.prepare import prepare
from hermes_train.training.compute.loss import add_labelled_loss, labelled_loss
from hermes_train.training.model import load_for_training
from hermes_train.training.pack_collator import PackCollator

SECTION = ModelSection(random=RandomModel(), template="llama3", dtype="float32")
LONG = Sample(
    "1", "s", [Message("user", "2 + 2?"), Message("assistant", "It is 4.", "2 and 2, and so on, and on")]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    prepare(SECTION, 0, folder)
    return folder / "model"


@pytest.fixture(scope="module")
def batch(folder, tmp_path_factory):
    """A pack of one thought that was cut, as the trainer gets it, and the tokenizer."""
    packs = tmp_path_factory.mktemp("packs")
    maker = load_maker(folder, SECTION, PackSection(length=512), 0)
    store = write_store(packs, maker.documents([cut_thought(LONG, "2 and 2, and")], "expand", 512, Tally()))
    PackIndex(*pack(store.lengths(), 512), 512).save(packs / "index.npz")
    data = PackedData(packs, maker.tokenizer.pad_token_id)
    inputs = PackCollator(maker.tokenizer.pad_token_id)([data.as_dataset()[0]])
    del inputs["modes"]
    return inputs, maker.tokenizer


def test_they_give_gradient_only_through_the_closing_tag_and_the_end_token(folder, batch):
    inputs, tokenizer = batch
    model = load_for_training(folder, "auto", gradient_checkpointing=False).train()
    add_labelled_loss(model)
    through = []

    def watch(module, arguments, output):
        output.last_hidden_state.register_hook(through.append)

    model.base_model.register_forward_hook(watch)

    loss = labelled_loss(model, inputs)
    loss.total.backward()

    tokens = inputs["input_ids"][0]
    predicted = [tokenizer.convert_ids_to_tokens(int(tokens[position + 1])) for position in loss.positions]
    assert predicted == ["</think>", "<|eot_id|>"]
    assert torch.equal(through[0][0].norm(dim=1).nonzero().flatten(), loss.positions)
    torch.testing.assert_close(loss.total, loss.token_losses.sum())
