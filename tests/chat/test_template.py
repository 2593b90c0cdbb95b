import jinja2
import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from hermes_train.chat.template import serving_template, training_template
from hermes_train.recipe.schema import ModelSection, RandomModel

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
    return training_template(ModelSection(random=RandomModel(), template=request.param))


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.parametrize("thinking", [True, False])
def test_the_shipped_template_renders_what_the_training_template_renders(template, conversation, thinking):
    shipped = serving_template(template)

    assert "generation" not in shipped.replace("add_generation_prompt", "")
    assert rendered(shipped, conversation, thinking=thinking) == rendered(
        template, conversation, thinking=thinking
    )


def test_the_shipped_template_needs_nothing_but_plain_jinja(template):
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)

    text = environment.from_string(serving_template(template)).render(
        messages=CONVERSATIONS["one turn"], bos_token="", add_generation_prompt=True
    )

    assert "You are Hermes, created by Nous Research." in text


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
