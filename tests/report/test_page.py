import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hermes_train.report import write_report
from hermes_train.report.load import load_run
from hermes_train.report.page import page, render
from hermes_train.runs import STAGES

WriteRun = Callable[..., Path]
Poison = Callable[[Path], None]

VOID = {"meta", "link"}


class Outline(HTMLParser):
    """Every tag of a page in order, its ids, the targets of its links, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        attributes = dict(attrs)
        self.ids.extend(value for name, value in attrs if name == "id" and value)
        self.targets.extend(attributes[name] or "" for name in ("href", "src") if name in attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_lies_in_the_run_folder_and_every_tag_is_closed(run_folder: Path) -> None:
    path = write_report(run_folder)

    outline = Outline(path.read_text(encoding="utf-8"))
    assert path == run_folder / "report.html"
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert [entry.name for entry in run_folder.iterdir() if entry.name.endswith(".part")] == []


def test_the_page_names_all_sections_and_links_only_to_itself(run_folder: Path) -> None:
    outline = Outline(write_report(run_folder).read_text(encoding="utf-8"))

    sections = {"scores", "answers", "data", "packs", "training", "export", "provenance"}
    assert sections <= set(outline.ids)
    assert all(target.startswith(("#", "data:")) for target in outline.targets)
    assert {target[1:] for target in outline.targets if target.startswith("#")} == sections


def test_every_chart_says_what_it_shows(run_folder: Path) -> None:
    html = write_report(run_folder).read_text(encoding="utf-8")

    charts = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg .*?</svg>", html, re.DOTALL)]
    assert len(charts) > 30
    for chart in charts:
        assert chart[0].tag == "title"
        assert chart.get("aria-label") == chart[0].text


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200))
def test_any_text_of_a_model_adds_no_tag_to_the_page(run_folder: Path, text: str) -> None:
    run = load_run(run_folder)

    def with_text(content: str) -> Outline:
        answers = {
            model: tuple(
                msgspec.structs.replace(answer, text=content, prompt=content) for answer in given_answers
            )
            for model, given_answers in run.answers.items()
        }
        return Outline(render(page(dataclasses.replace(run, answers=answers))))

    assert with_text(f"-{text}-".replace("</think>", "")).tags == with_text("-plain-").tags


def test_an_attack_in_any_file_stays_text(run_folder: Path, poison: Poison) -> None:
    plain = Outline(write_report(run_folder).read_text(encoding="utf-8"))
    poison(run_folder)

    html = write_report(run_folder).read_text(encoding="utf-8")

    outline = Outline(html)
    assert outline.tags.count("script") == plain.tags.count("script") == 1
    assert outline.tags.count("img") == 0
    assert "<script>alert" not in html
    assert "onerror=alert(2)" in outline.text
    assert "{{ 7 * 7 }}" in outline.text


def test_half_a_surrogate_pair_does_not_stop_the_report(run_folder: Path) -> None:
    answers = run_folder / "evaluate" / "dpo" / "answers.jsonl"
    answers.write_text(
        answers.read_text(encoding="utf-8").replace("Step by step", "\\ud800 step"), encoding="utf-8"
    )

    assert "? step. 8 - 3 = 5" in write_report(run_folder).read_text(encoding="utf-8")


@pytest.mark.parametrize("done", range(len(STAGES) + 1))
def test_a_run_broken_off_after_any_stage_has_a_report(
    tmp_path: Path, write_run: WriteRun, done: int
) -> None:
    folder = write_run(tmp_path / "run", STAGES[:done])

    text = Outline(write_report(folder).read_text(encoding="utf-8")).text

    said = {
        "filter": "The filter stage is not done.",
        "pack": "The pack stage is not done.",
        "evaluate": "No model has been evaluated yet.",
        "export": "The export stage is not done.",
    }
    for stage, sentence in said.items():
        assert (sentence in text) == (stage not in STAGES[:done])
    assert text.count("not done") >= len(STAGES) - done


def test_an_empty_folder_has_a_report_without_a_single_zero(tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    folder.mkdir()

    html = write_report(folder).read_text(encoding="utf-8")

    body = Outline(html[html.index("<main>") : html.index("</main>")]).text
    assert "0" not in body
    assert "nothing" in Outline(html).text


def test_importing_the_report_loads_neither_torch_nor_the_template_engine() -> None:
    program = (
        "import sys, hermes_train.report; "
        "print({'torch', 'jinja2', 'transformers', 'datatrove', 'pyarrow', 'rich'} & set(sys.modules))"
    )

    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert found.stdout == "set()\n"
