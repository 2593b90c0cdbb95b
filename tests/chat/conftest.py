import pytest

from hermes_train.chat.labels import ControlIds
from hermes_train.chat.render import Renderer
from hermes_train.chat.template import FORMATS, training_template
from hermes_train.chat.vocabulary import change_tokenizer, plan_vocabulary
from hermes_train.packing.documents import DocumentMaker
from hermes_train.recipe.schema import ModelSection, RandomModel
from hermes_train.training.bases import random_llama


def make_maker(template: str, **system: str) -> DocumentMaker:
    section = ModelSection(random=RandomModel(), template=template, system=system)
    chat_format = FORMATS[template]
    _, tokenizer = random_llama(section.random, 0)
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    change = plan_vocabulary(vocabulary, chat_format, tokenizer.eos_token)
    tokenizer = change_tokenizer(tokenizer, change, chat_format)
    renderer = Renderer(training_template(section), chat_format, tokenizer.bos_token, section.system.think)
    ids = tokenizer.convert_tokens_to_ids
    bos = tokenizer.bos_token_id if template == "llama3" else None
    return DocumentMaker(renderer, tokenizer, ControlIds(ids(chat_format.end_of_turn), ids("</think>"), bos))


@pytest.fixture(scope="session", params=["llama3", "chatml"])
def maker(request):
    """A maker of documents for each template, with a byte-level tokenizer."""
    return make_maker(request.param, think="Think first.", direct="Answer at once.")
