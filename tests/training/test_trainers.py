"""The loss that training uses: packed equals unpacked, and ours equals the model's own."""

import pytest
import torch

from hermes_train.chat.labels import IGNORED
from hermes_train.recipe.schema import RandomModel
from hermes_train.training.bases import random_llama
from hermes_train.training.trainers import labelled_loss


@pytest.fixture(scope="module")
def model():
    model, _ = random_llama(RandomModel(), 0)
    # Weights larger than a fresh model's, so that attention really looks at other tokens.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    return model.train()


@pytest.fixture(scope="module")
def documents():
    torch.manual_seed(0)
    made = []
    for length, trained_from in ((7, 3), (12, 1), (5, 4)):
        ids = torch.randint(0, 256, (length,))
        labels = ids.clone()
        labels[:trained_from] = IGNORED
        made.append((ids, labels))
    return made


def packed(documents):
    return {
        "input_ids": torch.cat([ids for ids, _ in documents])[None],
        "labels": torch.cat([labels for _, labels in documents])[None],
        "position_ids": torch.cat([torch.arange(len(ids)) for ids, _ in documents])[None],
    }


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_loss_and_gradients_equal_those_of_the_documents_one_by_one(model, documents, attention):
    model.set_attn_implementation(attention)

    together = labelled_loss(model, packed(documents))
    alone = sum(labelled_loss(model, packed([document])) for document in documents)

    torch.testing.assert_close(together, alone, rtol=1e-5, atol=0)
    of_pack, of_documents = gradients(model, together), gradients(model, alone)
    for name, gradient in of_documents.items():
        assert (of_pack[name] - gradient).norm() <= 1e-5 * gradient.norm(), name


def test_a_document_cannot_change_the_loss_of_the_next_one(model, documents):
    model.set_attn_implementation("sdpa")
    others = packed(documents)
    others["labels"][0, :19] = IGNORED
    before = labelled_loss(model, others)
    others["input_ids"][0, :19] = torch.randint(0, 256, (19,))

    assert torch.equal(labelled_loss(model, others), before)


def test_the_loss_on_labelled_positions_is_the_models_own_loss(model, documents):
    batch = packed(documents[:1])
    labelled = (batch["labels"][0, 1:] != IGNORED).sum()

    own = model(**batch, use_cache=False).loss

    torch.testing.assert_close(labelled_loss(model, batch) / labelled, own, rtol=1e-5, atol=0)
