"""Chat templates as files, and the two forms each is used in.

In training the template carries `{% generation %}` marks, which say what the assistant wrote. The form that ships with
the model has the marks taken out, since not every server's Jinja knows them; both render the same text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

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
_GENERATION_MARK = re.compile(r"\{%-?\s*(?:end)?generation\s*(-?)%\}")


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


def training_template(model: ModelSection) -> str:
    """Return the Jinja template with its `{% generation %}` marks and the recipe's system prompts written in."""
    body = (_TEMPLATES / f"{model.template}.jinja").read_text(encoding="utf-8")
    prompts = (
        f"{{%- set think_system = {json.dumps(model.system.think, ensure_ascii=False)} %}}\n"
        f"{{%- set direct_system = {json.dumps(model.system.direct, ensure_ascii=False)} %}}\n"
    )
    return prompts + body


def serving_template(template: str) -> str:
    """Return `template` without its `{% generation %}` marks; it renders the same text."""
    # An empty comment keeps the whitespace control that the mark had on both sides.
    return _GENERATION_MARK.sub(lambda mark: "{#- -#}" if mark[1] else "{#- #}", template)
