"""Our templates render the same text in every kind of engine that serves models."""

import json

import jinja2
import minijinja
import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from .families.makers import template_of

CALL = {
    "type": "function",
    "function": {"name": "get", "arguments": {"city": "Oslo <æ>", "days": [1, 2.5, None]}},
}
TOOL = {
    "type": "function",
    "function": {
        "name": "get",
        "description": 'Get the weather\'s "facts" & <more>.',
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
QUESTION = {"role": "user", "content": "What is 6 * 7?\n\n'It' & <b>\n"}
CONVERSATIONS = {
    "one turn": ([QUESTION], None),
    "own system": ([{"role": "system", "content": "Be brief.\n"}, QUESTION], None),
    "tools": ([QUESTION], [TOOL, TOOL]),
    "own system and tools": ([{"role": "system", "content": "Be brief."}, QUESTION], [TOOL]),
    "empty system": ([{"role": "system", "content": ""}, QUESTION], None),
    "system later": ([QUESTION, {"role": "assistant", "content": "42"}, {"role": "system", "content": "Now 7."}], None),
    "history with thoughts": (
        [
            QUESTION,
            {"role": "assistant", "reasoning": "six sevens", "content": "42"},
            QUESTION,
            {"role": "assistant", "reasoning_content": "again", "content": "  42\n"},
            QUESTION,
        ],
        None,
    ),
    "thoughts inside the content": (
        [
            QUESTION,
            {"role": "assistant", "content": "<think>\nsix </think> sevens\n</think>\n42"},
            QUESTION,
            {"role": "assistant", "content": "</think> 42 <think>"},
            QUESTION,
        ],
        None,
    ),
    "answered with a thought": ([QUESTION, {"role": "assistant", "reasoning": "", "content": "42"}], None),
    "tool loop": (
        [
            QUESTION,
            {"role": "assistant", "reasoning": "look it up", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "content": '{"t": 3}'},
            {"role": "assistant", "content": "And now both.", "tool_calls": [CALL, CALL["function"]]},
            {"role": "tool", "content": "3"},
            {"role": "tool", "content": "é"},
        ],
        [TOOL],
    ),
    "no content": ([QUESTION, {"role": "assistant", "content": None, "tool_calls": [CALL]}], [TOOL]),
}  # fmt: skip
FLAGS = [{}, {"thinking": True}, {"thinking": True, "keep_cots": True}, {"keep_cots": True}]


def to_json(value, indent=None, ensure_ascii=False):
    """What servers that take models off the Hub put in the place of Jinja's own filter, which escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def in_jinja2(template, **names):
    """As vLLM and SGLang do."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = to_json
    return environment.from_string(template).render(**names)


def in_minijinja(template, **names):
    """As text-generation-inference does, and in the way of the small engines of llama.cpp."""
    environment = minijinja.Environment()
    environment.trim_blocks = environment.lstrip_blocks = environment.pycompat = True
    environment.add_filter("tojson", to_json)
    return environment.render_str(template, **names)


def in_strict_jinja2(template, **names):
    """An engine without the switches that strip blanks around blocks: the template must not rely on them."""
    environment = jinja2.Environment()
    environment.filters["tojson"] = to_json
    return environment.from_string(template).render(**names)


@pytest.mark.parametrize("engine", [in_jinja2, in_minijinja, in_strict_jinja2])
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_a_conversation_renders_as_in_transformers(family, engine, conversation):
    messages, tools = CONVERSATIONS[conversation]
    template = template_of(family)
    for flags in FLAGS:
        for prompt in (True, False):
            names = {"bos_token": "<|begin_of_text|>", "add_generation_prompt": prompt, **flags}
            reference = render_jinja_template([messages], tools=tools, chat_template=template, **names)[0][0]

            text = engine(template, messages=messages, tools=tools, **names)

            assert text == reference


@pytest.mark.parametrize(
    "conversation", [name for name, (_, tools) in CONVERSATIONS.items() if tools is None]
)
def test_minijinja_needs_no_filter_of_the_servers_where_no_json_is_written(family, conversation):
    messages, _ = CONVERSATIONS[conversation]
    names = {"bos_token": "", "add_generation_prompt": True}
    reference = render_jinja_template([messages], chat_template=template_of(family), **names)[0][0]

    environment = minijinja.Environment(trim_blocks=True, lstrip_blocks=True)

    assert environment.render_str(template_of(family), messages=messages, **names) == reference
