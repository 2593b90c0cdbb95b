"""A conversation in the terminal, through the model's own chat template."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_filters.errors import UserError
from data_filters.samples import Message, Mode
from hermes_train.chat.render import Renderer
from hermes_train.chat.template import THINK_CLOSE, THINK_OPEN
from hermes_train.recipe.schema import SystemPrompts


def talk(folder: Path, think: bool, max_new_tokens: int) -> None:
    """Ask for messages and print answers until an empty line. Raises UserError for a folder without a model."""
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is no model's folder: it has no config.json; try runs/demo/export/model")
    console = Console()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    renderer = Renderer.of(tokenizer, SystemPrompts())
    mode = Mode.THINK if think else Mode.DIRECT
    messages: list[Message] = []
    while said := _ask(console):
        messages.append(Message("user", said))
        prompt = renderer.prompt(messages, None, mode)
        encoded = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            output = model.generate(**encoded, max_new_tokens=max_new_tokens)
        text = tokenizer.decode(output[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
        thought, closed, content = text.partition(THINK_CLOSE)
        thought = thought.removeprefix(THINK_OPEN).strip() if closed else ""
        content = (content if closed else text).strip()
        if thought:
            console.print(thought, style="dim italic", markup=False, highlight=False)
        console.print(content, markup=False, highlight=False)
        messages.append(Message("assistant", content, reasoning=thought or None))


def _ask(console: Console) -> str:
    try:
        return console.input("[bold]you:[/bold] ").strip()
    except EOFError:
        return ""
