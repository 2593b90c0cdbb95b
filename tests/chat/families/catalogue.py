"""The families that are tested: our two templates and public ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from . import formats

THINK_TAGS = ("<think>", "</think>")
PAD = "<|padding|>"


@dataclass(frozen=True, repr=False)
class Family:
    """A family: its oracle, its tokens, and what conversations its template knows."""

    name: str
    write: formats.Write
    control_tokens: tuple[str, ...]
    end_tokens: tuple[str, ...]
    """The tokens that may end a trained turn."""
    eos: str
    bos: str | None = None
    tokens_take_blanks: bool = False
    """Its tokens take the blanks behind them, as those of Phi 3 do."""
    flag_asks: bool = False
    """A flag of the template asks for the mode; else a system message does."""
    flag_asks_beside_system: bool = False
    any_order: bool = False
    """Roles may come in any order; else users and the assistant take turns."""
    calls: str = "none"
    """Function calls: "none", "alone" (one, with no text beside it) or "many"."""
    thought_beside_call: bool = False

    @property
    def added_tokens(self) -> tuple[str, ...]:
        """All tokens of its tokenizer that stand for more than a byte."""
        return (*self.control_tokens, PAD, *THINK_TAGS)

    def __repr__(self) -> str:
        return self.name


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_LLAMA3 = _tokens("<|begin_of_text|> <|end_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|>")
_TOOL_TAGS = _tokens("<tool_call> </tool_call> <tool_response> </tool_response>")
_CHATML = _tokens("<|im_start|> <|im_end|> <|endoftext|>")
_MISTRAL = _tokens(
    "<s> </s> [INST] [/INST] [TOOL_CALLS] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS]"
)
_DEEPSEEK = _tokens(
    "<｜begin▁of▁sentence｜> <｜end▁of▁sentence｜> <｜User｜> <｜Assistant｜> <｜tool▁calls▁begin｜>"
    " <｜tool▁calls▁end｜> <｜tool▁call▁begin｜> <｜tool▁call▁end｜> <｜tool▁sep｜>"
    " <｜tool▁outputs▁begin｜> <｜tool▁outputs▁end｜>"
    " <｜tool▁output▁begin｜> <｜tool▁output▁end｜>"
)
_COMMAND_R = _tokens(
    "<BOS_TOKEN> <|START_OF_TURN_TOKEN|> <|END_OF_TURN_TOKEN|> <|SYSTEM_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|>"
)

OURS = (
    Family(
        "llama3",
        partial(
            formats.hermes,
            bos="<|begin_of_text|>",
            head="<|start_header_id|>ROLE<|end_header_id|>\n\n",
            end="<|eot_id|>",
            after="",
        ),
        (*_LLAMA3, *_TOOL_TAGS),
        ("<|eot_id|>",),
        eos="<|eot_id|>",
        bos="<|begin_of_text|>",
        flag_asks=True,
        any_order=True,
        calls="many",
        thought_beside_call=True,
    ),
    Family(
        "chatml",
        partial(formats.hermes, bos="", head="<|im_start|>ROLE\n", end="<|im_end|>", after="\n"),
        (*_CHATML, *_TOOL_TAGS),
        ("<|im_end|>",),
        eos="<|im_end|>",
        flag_asks=True,
        any_order=True,
        calls="many",
        thought_beside_call=True,
    ),
)
"""Our two templates."""

PUBLIC = (
    Family(
        "llama31",
        formats.llama31,
        _LLAMA3,
        ("<|eot_id|>",),
        "<|eot_id|>",
        bos="<|begin_of_text|>",
        calls="alone",
    ),
    Family(
        "qwen25",
        formats.qwen25,
        (*_CHATML, *_TOOL_TAGS),
        ("<|im_end|>",),
        "<|im_end|>",
        any_order=True,
        calls="many",
        thought_beside_call=True,
    ),
    Family(
        "qwen3",
        formats.qwen3,
        (*_CHATML, *_TOOL_TAGS),
        ("<|im_end|>",),
        "<|im_end|>",
        any_order=True,
        calls="many",
        flag_asks=True,
        flag_asks_beside_system=True,
        thought_beside_call=True,
    ),
    Family(
        "gemma3",
        formats.gemma3,
        _tokens("<bos> <eos> <start_of_turn> <end_of_turn>"),
        ("<end_of_turn>",),
        "<eos>",
        "<bos>",
    ),
    Family("mistral", formats.mistral, _MISTRAL, ("</s>",), "</s>", "<s>", calls="many"),
    Family(
        "phi3",
        formats.phi3,
        _tokens("<|system|> <|user|> <|assistant|> <|end|> <|endoftext|>"),
        ("<|end|>",),
        "<|endoftext|>",
        tokens_take_blanks=True,
        any_order=True,
    ),
    Family(
        "gpt_oss",
        formats.gpt_oss,
        _tokens("<|start|> <|message|> <|channel|> <|end|> <|return|> <|call|>"),
        ("<|return|>", "<|end|>", "<|call|>"),
        "<|return|>",
        calls="alone",
        thought_beside_call=True,
    ),
    Family(
        "deepseek_r1",
        formats.deepseek_r1,
        _DEEPSEEK,
        ("<｜end▁of▁sentence｜>",),
        "<｜end▁of▁sentence｜>",
        "<｜begin▁of▁sentence｜>",
        calls="many",
        thought_beside_call=True,
    ),
    Family("smollm2", formats.smollm2, _CHATML, ("<|im_end|>",), "<|im_end|>", any_order=True),
    Family(
        "command_r",
        formats.command_r,
        _COMMAND_R,
        ("<|END_OF_TURN_TOKEN|>",),
        "<|END_OF_TURN_TOKEN|>",
        "<BOS_TOKEN>",
        any_order=True,
    ),
    Family("llama2", formats.llama2, _tokens("<s> </s>"), ("</s>",), "</s>", "<s>"),
)
"""Public families; each has its template in a file beside this one."""
