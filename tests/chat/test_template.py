from importlib.resources import files

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from data_filters.errors import UserError
from hermes_train.chat.template import chat_template
from hermes_train.recipe.schema import HERMES_DIRECT_SYSTEM, HERMES_THINK_SYSTEM, ModelSection, RandomModel

CONVERSATIONS = {
    "one turn": [{"role": "user", "content": "hi"}],
    "own system": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
    "history with a thought": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "reasoning": "greet", "content": "hello"},
        {"role": "user", "content": "bye"},
    ],
    "thought inside the content": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "<think>\ngreet\n</think>\nhello"},
        {"role": "user", "content": "bye"},
    ],
    "tool loop": [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "reasoning": "look it up",
            "content": "",
            "tool_calls": [{"function": {"name": "get", "arguments": {"city": "Oslo"}}}],
        },
        {"role": "tool", "content": '{"t": 3}'},
    ],
}


def rendered(template, conversation, **options):
    options = {"bos_token": "<|begin_of_text|>", "add_generation_prompt": True} | options
    return render_jinja_template([conversation], chat_template=template, **options)[0][0]


@pytest.fixture(params=["llama3", "chatml"])
def template(request):
    return chat_template(ModelSection(random=RandomModel(), template=request.param), None)


@pytest.mark.parametrize("name", ["llama3", "chatml"])
def test_a_template_file_as_it_is_holds_the_prompts_of_the_model_card(name):
    file = files("hermes_train.chat") / "templates" / f"{name}.jinja"

    text = file.read_text(encoding="utf-8")

    assert HERMES_THINK_SYSTEM in rendered(text, CONVERSATIONS["one turn"], thinking=True)
    assert HERMES_DIRECT_SYSTEM in rendered(text, CONVERSATIONS["one turn"])


def test_a_recipes_prompts_are_written_in_with_their_quotes_and_line_ends():
    prompt = 'Say "42" and it\'s {{ done }}.\nThen stop.'
    section = ModelSection(random=RandomModel(), template="llama3", system={"think": [prompt, "other"]})

    assert prompt in rendered(chat_template(section, None), CONVERSATIONS["one turn"], thinking=True)


def test_the_bases_own_template_is_taken_as_it_is_or_its_absence_told():
    section = ModelSection(base="somewhere", template="base")

    assert chat_template(section, "{{ messages }}") == "{{ messages }}"
    with pytest.raises(UserError, match="brings no chat template; choose llama3 or chatml"):
        chat_template(section, None)


def test_thinking_asks_for_a_thought_and_its_absence_does_not(template):
    assert "deep thinking AI" in rendered(template, CONVERSATIONS["one turn"], thinking=True)
    assert "deep thinking AI" not in rendered(template, CONVERSATIONS["one turn"])


@pytest.mark.parametrize("name", ["history with a thought", "thought inside the content"])
def test_earlier_thoughts_are_stripped_unless_they_are_to_be_kept(template, name):
    conversation = CONVERSATIONS[name]

    assert "<think> </think>\nhello" in rendered(template, conversation, thinking=True)
    assert "greet" not in rendered(template, conversation, thinking=False)
    assert "<think>\ngreet\n</think>\nhello" in rendered(template, conversation, keep_cots=True)


def test_a_thought_before_a_tool_call_is_kept_while_the_tool_answers(template):
    tools = [{"type": "function", "function": {"name": "get", "parameters": {}}}]

    text = rendered(template, CONVERSATIONS["tool loop"], thinking=True, tools=tools)

    assert "<think>\nlook it up\n</think>\n<tool_call>" in text
    assert '<tool_call>\n{"name": "get", "arguments": {"city": "Oslo"}}\n</tool_call>' in text
    assert '<tool_response>\n{"t": 3}\n</tool_response>' in text
    assert "<tools>" in text
