"""Makers of documents for a family, with a byte-level tokenizer that has the family's control tokens."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AddedToken, PreTrainedTokenizerFast

from hermes_train.chat.template import chat_template
from hermes_train.packing.documents import DocumentMaker, document_maker
from hermes_train.recipe.schema import ModelSection, RandomModel, SystemPrompts

from .catalogue import OURS, PAD, THINK_TAGS, Family
from .pieces import DIRECT_PROMPT, THINK_PROMPT

TEMPLATES = Path(__file__).parent
SYSTEM = SystemPrompts(think=THINK_PROMPT, direct=DIRECT_PROMPT)


@cache
def maker_of(family: Family, control_text: str = "as_text") -> DocumentMaker:
    """Return a maker for `family`; one that was made before is given again."""
    # A prompt that is given stands before a template's own flag.
    system = SystemPrompts() if family.flag_asks and family not in OURS else SYSTEM
    return document_maker(tokenizer_of(family), system, control_text=control_text)


def tokenizer_of(family: Family) -> PreTrainedTokenizerFast:
    """Return a tokenizer of single bytes and the family's control tokens, with the family's template."""
    tokenizer = byte_tokenizer(family.control_tokens, family.bos, family.eos, family.tokens_take_blanks)
    tokenizer.chat_template = template_of(family)
    return tokenizer


def template_of(family: Family) -> str:
    """Return the text of a family's template: ours from the package, others from the file beside this one."""
    if family in OURS:
        return chat_template(
            ModelSection(random=RandomModel(), template=family.name, system=SYSTEM.model_dump()), None
        )
    return (TEMPLATES / f"{family.name}.jinja").read_text(encoding="utf-8")


def byte_tokenizer(
    control_tokens: Iterable[str], bos: str | None, eos: str, tokens_take_blanks: bool = False
) -> PreTrainedTokenizerFast:
    """Return a tokenizer of the 256 bytes, `control_tokens`, a pad token and the think tags."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={symbol: index for index, symbol in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    structure = (*control_tokens, PAD)
    backend.add_tokens([AddedToken(token, special=True, rstrip=tokens_take_blanks) for token in structure])
    backend.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in THINK_TAGS])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=bos, eos_token=eos, pad_token=PAD)
