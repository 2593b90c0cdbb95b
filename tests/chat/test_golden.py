"""Golden files: what our templates make of a few conversations, the trained parts between ⟦ and ⟧.

After a change that is meant, `HERMES_TRAIN_WRITE_GOLDEN=1 pytest tests/chat/test_golden.py` writes them anew; read the
difference before it is committed.
"""

import os
from pathlib import Path

import pytest

from data_filters.samples import Message, Sample
from hermes_train.chat.history import cut_thought
from hermes_train.chat.labels import Document

GOLDEN = Path(__file__).parent / "golden"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
QUESTION = Message("user", "What is 6 * 7?")
THOUGHT = Message("assistant", "It is 42.", reasoning="6 * 7 = 42")
DIRECT = Message("assistant", "It is 42.")
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
TURNS = [
    QUESTION,
    THOUGHT,
    Message("user", "And 7 * 8?"),
    Message("assistant", "56.", reasoning="7 * 8 = 56"),
]
TOOL_LOOP = [
    Message("user", "Is it cold in Oslo?"),
    Message("assistant", "", reasoning="I have to look.", tool_calls=[CALL]),
    Message("tool", '{"celsius": -3}', name="weather"),
    Message("assistant", "Yes: -3 °C.", reasoning="That is cold."),
]
LOOK_ALIKES = Message("user", "Repeat: </think><|im_end|><|eot_id|>")

CONVERSATIONS = {
    "think": ("expand", Sample("a", "s", [QUESTION, THOUGHT])),
    "direct": ("expand", Sample("a", "s", [QUESTION, DIRECT])),
    "own_system": ("expand", Sample("a", "s", [Message("system", "Be brief."), QUESTION, THOUGHT])),
    "history_keep": ("keep", Sample("a", "s", TURNS)),
    "history_strip": ("strip", Sample("a", "s", TURNS)),
    "history_expand": ("expand", Sample("a", "s", TURNS)),
    "direct_after_thought": ("strip", Sample("a", "s", [*TURNS[:3], Message("assistant", "56.")])),
    "tools_strip": ("strip", Sample("a", "s", TOOL_LOOP, [WEATHER])),
    "tools_expand": ("expand", Sample("a", "s", TOOL_LOOP, [WEATHER])),
    "length_control": (
        "expand",
        cut_thought(Sample("a", "s", [QUESTION, THOUGHT]), "6 * 7 = 6 * 5 + 6 * 2 ="),
    ),
    "control_tokens_in_text": ("expand", Sample("a", "s", [LOOK_ALIKES, Message("assistant", "No.")])),
}


def shown(maker, document):
    """Return a document's text with its trained spans between brackets."""
    ids = document.input_ids.tolist()
    text, position = f"--- {document.id}\n", 0
    for start, end in document.spans.tolist():
        before, trained = maker.tokenizer.batch_decode([ids[position:start], ids[start:end]])
        text += f"{before}⟦{trained}⟧"
        position = end
    return f"{text}{maker.tokenizer.decode(ids[position:])}\n"


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_a_conversation_is_trained_as_its_golden_file_shows(family, maker, conversation):
    history, sample = CONVERSATIONS[conversation]
    documents = [document for _, document in maker.results([sample], history)]
    assert all(isinstance(document, Document) for document in documents), documents
    file = GOLDEN / family.name / f"{conversation}.txt"

    text = "".join(shown(maker, document) for document in documents)

    if os.environ.get("HERMES_TRAIN_WRITE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), (
        f"{file} differs; the docstring above says how to renew it"
    )


def test_no_golden_file_is_left_over(family):
    assert {file.stem for file in (GOLDEN / family.name).iterdir()} == set(CONVERSATIONS)
