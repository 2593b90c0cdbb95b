"""Chat templates as files: the same text in training, in evaluation and in the model that is served."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from data_filters.errors import UserError
from hermes_train.recipe.schema import ModelSection

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
CONTROL_TAGS = (
    THINK_OPEN,
    THINK_CLOSE,
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
)
"""The tags that are one token each in a prepared model."""

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class ChatFormat:
    """The control tokens that a template writes."""

    end_of_turn: str
    """Ends every turn; the model must learn to emit it."""
    control_tokens: tuple[str, ...]
    """All tokens that structure the conversation; text of users must not contain them."""
    pad_candidates: tuple[str, ...]
    """Tokens of the family's tokenizers that serve as padding, best first."""


FORMATS = {
    "llama3": ChatFormat(
        end_of_turn="<|eot_id|>",
        control_tokens=("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        pad_candidates=("<|finetune_right_pad_id|>",),
    ),
    "chatml": ChatFormat(
        end_of_turn="<|im_end|>",
        control_tokens=("<|im_start|>", "<|im_end|>"),
        pad_candidates=("<|endoftext|>", "<|pad|>"),
    ),
}
"""The formats that this package has templates for."""


def chat_template(section: ModelSection, own: str | None) -> str:
    """Return the Jinja template of a model; `own` is the one that its base came with.

    In a template of ours the recipe's system prompts are written in: the first of each list. Raises UserError for
    `template: base` where the base has none.
    """
    if section.template == "base":
        if own is None:
            raise UserError(
                "model.template is base, but the base model brings no chat template; choose llama3 or chatml"
            )
        return own
    body = (_TEMPLATES / f"{section.template}.jinja").read_text(encoding="utf-8")
    prompts = {
        "think_system": section.system.think_prompts[0],
        "direct_system": section.system.direct_prompts[0],
    }
    lines = [
        f"{{%- set {name} = {json.dumps(text, ensure_ascii=False)} %}}\n" for name, text in prompts.items()
    ]
    return "".join(lines) + body


def control_tokens(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the added tokens of a tokenizer that structure a conversation.

    They are its special tokens, the think and tool tags, and those that its template writes. Others, such as runs of
    blanks, are text.
    """
    template = tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else ""
    return [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special
        or token.content in CONTROL_TAGS
        or (token.content.strip() and token.content in template)
    ]
