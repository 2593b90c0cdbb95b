"""`hermes-train labels` shows exactly what training reads, and says what is wrong in one line."""

import json
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from data_filters.formats import parse_row
from data_filters.settings import Source
from hermes_train.chat import show
from hermes_train.chat.problems import Problem
from hermes_train.cli import main
from hermes_train.labels_command import rendering_of_recipe
from hermes_train.packing.store import TokenStore
from hermes_train.recipe.load import load_recipe

ROOT = Path(__file__).parents[1]
IGNORED = -100
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


class Printed(NamedTuple):
    """What one call of the command line gave."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Labels = Callable[..., Printed]


@pytest.fixture
def labels(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Labels:
    """The command in this process: it starts in seconds, and most tests need no other."""

    def run(*arguments: str | Path) -> Printed:
        monkeypatch.setattr(sys, "argv", ["hermes-train", "labels", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Printed(code, *capfd.readouterr())

    return run


def conversation(*turns: str, **fields: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[number % 2], "content": text} for number, text in enumerate(turns)]
    messages[-1] |= fields
    return {"messages": messages}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A think row, a row of two turns, one without an answer, and one whose answer holds a control token."""
    found = [
        conversation("2+2?", "4.", reasoning="Two and two."),
        conversation("Hi", "Hello.", "Bye", "See you."),
        conversation("Anybody?"),
        conversation("End?", "So: <|eot_id|>"),
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


def refused(printed: Printed, *parts: str) -> None:
    """Code 2, nothing on stdout, and one line of error after what was told."""
    assert printed.code == 2, printed
    assert printed.out == ""
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and printed.err.splitlines()[-1] == errors[0]
    for part in parts:
        assert part in errors[0]


def test_without_colour_trained_text_stands_between_signs(labels: Labels, rows: Path) -> None:
    printed = labels(rows, "--history", "keep")

    assert printed.code == 0
    assert "\x1b" not in printed.out
    assert (
        "⟦<think>\nTwo and two.\n</think>\n4.".replace("<think>", "‹<think>›").replace(
            "</think>", "‹</think>›"
        )
        in printed.out
    )
    assert "⟦Hello.‹<|eot_id|>›⟧" in printed.out
    assert "2+2?⟧" not in printed.out


def test_in_colour_no_signs_are_needed(labels: Labels, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    printed = labels(rows)

    assert "\x1b[" in printed.out
    assert "⟦" not in printed.out


def test_json_gives_each_document_once_with_labels_that_repeat_trained_tokens(
    labels: Labels, rows: Path
) -> None:
    printed = labels(rows, "--json")

    assert [document["id"] for document in printed.documents] == [
        "rows.jsonl/0",
        "rows.jsonl/1#1",
        "rows.jsonl/1#3",
    ]
    for document in printed.documents:
        assert list(document) == ["id", "tokens", "labels"]
        assert len(document["tokens"]) == len(document["labels"])
        pairs = zip(document["tokens"], document["labels"], strict=True)
        assert all(label in (token, IGNORED) for token, label in pairs)
        assert any(label != IGNORED for label in document["labels"])


def test_the_history_policy_decides_how_many_documents_there_are(labels: Labels, rows: Path) -> None:
    assert [document["id"] for document in labels(rows, "--json", "--history", "keep").documents] == [
        "rows.jsonl/0",
        "rows.jsonl/1",
    ]


def test_rejections_are_told_on_stderr_with_id_reason_and_detail_and_counted(
    labels: Labels, rows: Path
) -> None:
    told = labels(rows, "--json").err.splitlines()

    assert "rejected rows.jsonl/2: no_assistant_turn: nobody answers; the roles are: user" in told
    assert any(line.startswith("rejected rows.jsonl/3: control_token_in_text: ") for line in told)
    assert told[-1] == "3 documents; 2 rejected: no_assistant_turn 1, control_token_in_text 1"


def test_a_rejection_is_one_line_whatever_its_row_says(labels: Labels, tmp_path: Path) -> None:
    row = conversation("Hi", "<|eot_id|>") | {"id": "a\n\x1b[2J", "source": "mine"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")

    _, rejection, _ = labels(tmp_path / "rows.jsonl").err.splitlines()

    assert rejection.startswith("rejected a ␛[2J: control_token_in_text: ")


def test_the_template_is_chosen_by_name(labels: Labels, rows: Path) -> None:
    printed = labels(rows, "--template", "chatml", "--number", "1")

    assert "‹<|im_start|>›assistant" in printed.out
    assert "one token a byte, template chatml" in printed.err


@pytest.mark.parametrize(
    ("identity", "shown"),
    [
        ("rows.jsonl/1", ["rows.jsonl/1#1", "rows.jsonl/1#3"]),
        ("rows.jsonl/1#3", ["rows.jsonl/1#3"]),
        ("rows.jsonl/2", []),
    ],
)
def test_an_id_names_a_conversation_or_one_of_its_documents(
    labels: Labels, rows: Path, identity: str, shown: list[str]
) -> None:
    printed = labels(rows, "--json", "--id", identity)

    assert printed.code == 0
    assert [document["id"] for document in printed.documents] == shown


@pytest.mark.parametrize("identity", ["rows.jsonl/9", "rows.jsonl/1#9", "gone"])
def test_an_id_that_no_row_has_is_answered_with_some_that_are_there(
    labels: Labels, rows: Path, identity: str
) -> None:
    refused(labels(rows, "--json", "--id", identity), identity, "rows.jsonl/0, rows.jsonl/1, rows.jsonl/2")


def test_number_limits_the_documents_and_three_are_shown_without_it(labels: Labels, tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps(conversation("Hi", f"Hello {number}.")) + "\n" for number in range(9)))

    assert labels(path).out.count("tokens, ") == 3
    assert len(labels(path, "--json", "--number", "2").documents) == 2
    assert len(labels(path, "--json").documents) == 9


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("gone.jsonl", None, "gone.jsonl"),
        ("empty.jsonl", "", "has no rows"),
        ("rows.csv", "a,b\n", "rows.csv"),
        ("gone.yaml", None, "gone.yaml"),
    ],
)
def test_a_source_that_gives_nothing_is_refused_in_one_line(
    labels: Labels, tmp_path: Path, name: str, content: str | None, part: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)

    refused(labels(tmp_path / name), part)


def test_options_that_do_not_go_together_are_refused(labels: Labels, rows: Path, smoke: Path) -> None:
    refused(labels(smoke, "--template", "chatml"), "-o model.template=chatml")
    refused(labels(rows, "--recipe", smoke, "--model", "some/model"), "--recipe names the model")
    refused(labels(rows, "-o", "pack.history=keep"), "--recipe")
    refused(labels(rows, "--template", "base"), "llama3 or chatml")
    refused(labels(rows, "--model", "./none"), "./none")


def test_a_document_longer_than_the_recipes_packs_is_rejected_as_too_long(
    labels: Labels, tmp_path: Path, smoke: Path
) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps(conversation("Hi", "word " * 5000)))

    printed = labels(path, "--recipe", smoke, "--runs", tmp_path, "--json")

    assert printed.documents == []
    assert "rejected long.jsonl/0: too_long: " in printed.err


def test_the_documents_of_a_packed_run_are_those_in_its_store(
    labels: Labels, packed_runs: Path, smoke: Path
) -> None:
    store = TokenStore(packed_runs / "smoke" / "pack" / "sft")

    printed = labels(smoke, "--runs", packed_runs, "--json")

    assert f"rows: those that the filter kept, in {packed_runs / 'smoke' / 'filter'}" in printed.err
    shown = {document["id"]: document for document in printed.documents}
    assert len(shown) == len(store)
    for number in range(len(store)):
        document = store.document(number)
        assert shown[document.id]["tokens"] == document.input_ids.tolist()
        assert shown[document.id]["labels"] == document.labels.tolist()


def test_a_run_that_is_not_begun_shows_the_sources_with_the_same_tokens(
    labels: Labels, packed_runs: Path, smoke: Path, tmp_path: Path
) -> None:
    unfiltered = labels(smoke, "--runs", tmp_path, "--json")

    assert "the recipe's sources, unfiltered, since the filter is not made yet" in unfiltered.err
    assert "with the tags added in memory, since prepare is not made yet" in unfiltered.err
    kept = labels(smoke, "--runs", packed_runs, "--json").documents
    found = {document["id"]: document for document in unfiltered.documents}
    assert kept and all(found[document["id"]] == document for document in kept)
    assert not (tmp_path / "smoke").exists()


def test_the_page_on_data_explains_every_reason_for_which_a_conversation_is_dropped() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Why is a document missing?")[2], re.MULTILINE)

    assert sorted(named) == sorted(Problem)


def test_the_examples_of_the_page_on_data_are_what_the_command_shows(tmp_path: Path) -> None:
    row = json.loads(re.search(r"^    (\{\"messages\".*?\]\})$", PAGE, re.MULTILINE | re.DOTALL)[1])
    sample = parse_row(row, Source(name="talk", path="talk.jsonl"), 0)
    # The page shows the demo's template and prompts; its tokenizer does not matter to the text.
    demo = load_recipe(ROOT / "recipes" / "demo.yaml", ["model.base=null", "model.random={}"])
    maker = rendering_of_recipe(demo, tmp_path, None).maker

    for history in ("keep", "strip", "expand"):
        example = PAGE.partition(f"`{history}`")[2].partition("\n\n    ")[2].partition("\n\n")[0]
        *_, (_, document) = maker.results([sample], history)
        shown = show.in_signs(document, maker.tokenizer)
        assert "    " + example == textwrap.indent(shown.removesuffix("\n"), "    ")
