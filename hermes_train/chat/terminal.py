"""A conversation in the terminal, through the model's own chat template."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_filters.errors import UserError
from hermes_train.chat.template import THINK_CLOSE, THINK_OPEN


def talk(folder: Path, think: bool, max_new_tokens: int) -> None:
    """Ask for messages and print answers until an empty line. Raises UserError for a folder without a model."""
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is no model's folder: it has no config.json; try runs/demo/export/model")
    console = Console()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    messages: list[dict[str, str]] = []
    while said := _ask(console):
        messages.append({"role": "user", "content": said})
        encoded = tokenizer.apply_chat_template(
            messages, thinking=think, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(model.device)
        with torch.inference_mode():
            output = model.generate(**encoded, max_new_tokens=max_new_tokens)
        answer = tokenizer.decode(output[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
        thought, closed, content = answer.partition(THINK_CLOSE)
        if closed:
            console.print(
                thought.removeprefix(THINK_OPEN).strip(), style="dim italic", markup=False, highlight=False
            )
        console.print((content if closed else answer).strip(), markup=False, highlight=False)
        messages.append({"role": "assistant", "content": answer})


def _ask(console: Console) -> str:
    try:
        return console.input("[bold]you:[/bold] ").strip()
    except EOFError:
        return ""
