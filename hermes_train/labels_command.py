"""`hermes-train labels`: the conversations of a recipe or of a file of rows, as documents with their labels."""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import typer
from rich.console import Console

from data_filters.errors import UserError
from data_filters.formats import parse_row
from data_filters.outputs import read_kept
from data_filters.readers import read_rows, source_files
from data_filters.row_fields import RowError
from data_filters.samples import Sample
from data_filters.settings import Source
from hermes_train.chat import show
from hermes_train.chat.labels import Document
from hermes_train.chat.problems import DocumentError, Problem
from hermes_train.packing.documents import DocumentMaker, document_maker, load_maker
from hermes_train.recipe.load import LoadedRecipe, load_recipe
from hermes_train.recipe.schema import ModelSection, RandomModel
from hermes_train.runs import RunFolder, StageState
from hermes_train.stages.prepare import prepared_tokenizer
from hermes_train.stages.sections import stage_inputs

_SHOWN_DOCUMENTS = 3
"""How many documents are shown to people who name neither a number nor an id."""

_NAMED_IDS = 5
"""How many ids are named where the one that was asked for is not there."""


class Rejection(NamedTuple):
    """A row or conversation that becomes no document: its id, a stable slug, and what is wrong with it."""

    id: str
    reason: str
    detail: str


ReadRow = Sample | Rejection
"""A row as it was read, or why it could not be."""


@dataclass(frozen=True)
class Rendering:
    """How conversations become documents. `length`: tokens that a document may have; None for any number."""

    maker: DocumentMaker
    history: str
    length: int | None = None


@dataclass(frozen=True)
class Choice:
    """Which documents are shown: those of the conversation `id` (None for all), at most `number` (None for all)."""

    id: str | None = None
    number: int | None = None


@dataclass(frozen=True)
class LabelsRequest:
    """What the command was given; None and False where an option was not."""

    source: Path
    recipe: Path | None
    model: str | None
    template: str | None
    history: str | None
    number: int | None
    id: str | None
    as_json: bool
    runs: Path
    overrides: list[str]


def show_labels(request: LabelsRequest) -> None:
    """Print the documents that are asked for. Raises UserError for what cannot be read or does not go together."""
    rows, rendering = _rows_and_rendering(request)
    everything = request.as_json or request.id is not None
    number = request.number or (None if everything else _SHOWN_DOCUMENTS)
    print_labels(rows, rendering, Choice(request.id, number), request.as_json)


def _rows_and_rendering(request: LabelsRequest) -> tuple[Iterator[ReadRow], Rendering]:
    is_recipe = request.source.suffix in (".yaml", ".yml")
    _require_fitting_options(request, is_recipe)
    if is_recipe:
        loaded = load_recipe(request.source, request.overrides)
        return rows_of_recipe(loaded, request.runs), rendering_of_recipe(
            loaded, request.runs, request.history
        )
    rows = rows_of_file(request.source)
    if request.recipe is not None:
        loaded = load_recipe(request.recipe, request.overrides)
        return rows, rendering_of_recipe(loaded, request.runs, request.history)
    return rows, rendering_of_model(model_section(request.model, request.template), request.history)


def print_labels(rows: Iterator[ReadRow], rendering: Rendering, choice: Choice, as_json: bool) -> None:
    """Print the documents on stdout, in colour, with signs or as JSON, and what is rejected on stderr.

    Raises UserError where no row has the id that was chosen.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Rows and signs hold characters that not every terminal's encoding has.
        sys.stdout.reconfigure(errors="backslashreplace")
    console = Console(highlight=False, markup=False, soft_wrap=True)
    rejected: Counter[str] = Counter()
    documents = 0
    for result in labelled(rows, rendering, choice):
        if isinstance(result, Rejection):
            rejected[result.reason] += 1
            _tell(show.one_line(f"rejected {result.id}: {result.reason}: {result.detail}"))
            continue
        documents += 1
        if as_json:
            typer.echo(json_line(result))
        else:
            _print_document(console, result, rendering.maker, is_first=documents == 1)
    reasons = ", ".join(f"{reason} {count}" for reason, count in rejected.most_common())
    noun = "document" if documents == 1 else "documents"
    _tell(f"{documents} {noun}; {rejected.total()} rejected{': ' if reasons else ''}{reasons}")


def labelled(rows: Iterator[ReadRow], rendering: Rendering, choice: Choice) -> Iterator[Document | Rejection]:
    """Yield the chosen documents, and between them what was rejected on the way to them.

    A document's id is that of its conversation or, where each turn is a document, that with `#` and the turn's number;
    both can be chosen. Raises UserError where nothing has the id.
    """
    first_ids: list[str] = []
    found = documents = 0
    for row in rows:
        if len(first_ids) < _NAMED_IDS:
            first_ids.append(row.id)
        if choice.id is not None and row.id not in (choice.id, choice.id.rsplit("#", 1)[0]):
            continue
        for result in _results(row, rendering):
            if choice.id is not None and choice.id not in (row.id, result.id):
                continue
            yield result
            found += 1
            documents += isinstance(result, Document)
            if documents == choice.number:
                return
    if choice.id is not None and not found:
        raise UserError(f"--id {choice.id}: no row has this id; the first are {', '.join(first_ids)}")


def rows_of_recipe(loaded: LoadedRecipe, runs: Path) -> Iterator[ReadRow]:
    """Return the rows that the run's filter kept, or those of the recipe's sources where it is not done."""
    folder = RunFolder(runs / loaded.recipe.name).stage("filter")
    standing = folder.standing(stage_inputs(loaded.recipe)["filter"])
    if standing.state is StageState.DONE:
        _tell(f"rows: those that the filter kept, in {folder.path}")
        return read_kept(folder.path)
    _tell(f"rows: the recipe's sources, unfiltered, since the filter is {standing}")
    return (row for source in loaded.recipe.data.sources for row in rows_of_source(source))


def rows_of_file(file: Path) -> Iterator[ReadRow]:
    """Return the rows of a file in any form that `verify` reads. Raises UserError for a file that is none."""
    source = Source(name="_".join(file.name.split()), path=str(file))
    # Before a tokenizer is loaded for it.
    source_files(source)
    return rows_of_source(source)


def rows_of_source(source: Source) -> Iterator[ReadRow]:
    """Yield each row of a source as a sample, or why it is none."""
    for number, row in read_rows(source):
        try:
            if isinstance(row, RowError):
                raise row
            yield parse_row(row, source, number)
        except RowError as error:
            yield Rejection(f"{source.name}/{number}", error.reason, error.detail)


def rendering_of_recipe(loaded: LoadedRecipe, runs: Path, history: str | None) -> Rendering:
    """Return how the run's pack stage makes documents, with the prepared tokenizer where there is one."""
    recipe = loaded.recipe
    folder = RunFolder(runs / recipe.name).stage("prepare")
    standing = folder.standing(stage_inputs(recipe)["prepare"])
    if standing.state is StageState.DONE:
        maker = load_maker(folder.path / "model", recipe.model, recipe.pack, recipe.seed)
    else:
        _tell(f"tokenizer: the base's, with the tags added in memory, since prepare is {standing}")
        tokenizer = prepared_tokenizer(recipe.model)
        maker = document_maker(tokenizer, recipe.model.system, recipe.seed, recipe.pack.control_text)
    return Rendering(maker, history or recipe.pack.history, recipe.pack.length)


def rendering_of_model(section: ModelSection, history: str | None) -> Rendering:
    """Return how documents are made for a model that no recipe names; they may have any length."""
    maker = document_maker(prepared_tokenizer(section), section.system)
    return Rendering(maker, history or "expand")


def model_section(base: str | None, template: str | None) -> ModelSection:
    """Return the model that the options name.

    Without a base: a byte-level tokenizer and the llama3 template. A base brings its own template unless one is named.
    """
    if base is not None:
        return ModelSection.model_validate({"base": base, "template": template or "base"})
    _tell(
        f"tokenizer: one token a byte, template {template or 'llama3'}; --model or --recipe name a real one"
    )
    return ModelSection.model_validate({"random": RandomModel(), "template": template or "llama3"})


def json_line(document: Document) -> str:
    """Return a document as one JSON object: its id, its token ids, and their labels with -100 for no loss."""
    return json.dumps(
        {"id": document.id, "tokens": document.input_ids.tolist(), "labels": document.labels.tolist()}
    )


def _require_fitting_options(request: LabelsRequest, is_recipe: bool) -> None:
    if is_recipe and (request.recipe or request.model or request.template):
        raise UserError(
            f"{request.source} is a recipe and says itself how its rows are rendered; leave out --recipe, --model and "
            "--template, or override: -o model.template=chatml"
        )
    if request.recipe and (request.model or request.template):
        raise UserError(
            "--recipe names the model and the template already; leave out --model and --template, or override: "
            "-o model.template=chatml"
        )
    if request.overrides and not (is_recipe or request.recipe):
        raise UserError("-o overrides a recipe's settings; name the recipe with --recipe")


def _results(row: ReadRow, rendering: Rendering) -> Iterator[Document | Rejection]:
    if isinstance(row, Rejection):
        yield row
        return
    for view, result in rendering.maker.results([row], rendering.history):
        if isinstance(result, DocumentError):
            yield Rejection(view.id, result.problem, result.detail)
        elif rendering.length is not None and len(result.input_ids) > rendering.length:
            detail = f"{len(result.input_ids)} tokens; a pack has {rendering.length}"
            yield Rejection(view.id, Problem.TOO_LONG, detail)
        else:
            yield result


def _print_document(console: Console, document: Document, maker: DocumentMaker, is_first: bool) -> None:
    has_colour = console.is_terminal and console.color_system is not None
    if is_first:
        console.print(show.colour_legend() if has_colour else show.sign_legend())
    console.rule()
    console.print(show.summary(document), style="bold")
    console.print()
    shown = show.in_colour if has_colour else show.in_signs
    console.print(shown(document, maker.tokenizer))


def _tell(line: str) -> None:
    typer.echo(line, err=True)
