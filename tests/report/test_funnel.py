import io
from pathlib import Path

import pytest
from rich.console import Console

from data_filters.figures import FilterFigures, LabelFigures, RejectedExample
from hermes_train.report.funnel import funnel_tables
from hermes_train.report.load import load_run
from hermes_train.report.views.agreement import agreement_view
from hermes_train.report.views.funnel import funnel_view


def printed(figures: FilterFigures) -> str:
    paper = io.StringIO()
    console = Console(width=120, file=paper, color_system=None)
    for table in funnel_tables(figures):
        console.print(table)
    return paper.getvalue()


@pytest.fixture
def figures(run_folder: Path) -> FilterFigures:
    found = load_run(run_folder).filter
    assert found is not None
    return found


def test_the_terminal_shows_what_the_page_shows(figures: FilterFigures) -> None:
    text = printed(figures)

    for title in (
        "Data funnel",
        "A rejected row of each reason",
        "Verdicts by kind of task",
        "What each check found, and its time",
        "Verified by rule",
        "Verdicts against labels",
    ):
        assert title in text
    for reason in figures.rejected:
        assert reason in text


def test_tables_without_rows_are_left_out() -> None:
    assert printed(FilterFigures()) == ""


def test_names_with_brackets_are_shown_as_they_are() -> None:
    figures = FilterFigures(
        rules={"[red]rule": 1},
        labels={"[bold]s": LabelFigures(right={"verified": 1})},
        examples={"[x]reason": [RejectedExample("[i]id", "s", "", "", "[/b] detail")]},
    )

    text = printed(figures)

    for name in ("[red]rule", "[bold]s", "[x]reason", "[i]id", "[/b] detail"):
        assert name in text


def test_agreement_is_the_share_of_decided_rows_whose_verdict_is_their_label() -> None:
    labels = LabelFigures(right={"verified": 97, "failed": 4}, wrong={"refuted": 2, "verified": 1})

    (row,) = agreement_view(FilterFigures(labels={"s": labels})).labels

    assert (row.agreement, row.undecided, row.wrong_verified) == ("99.0\u202f%", "4", "1")


@pytest.mark.parametrize(
    ("cgroup", "told"),
    [
        ("on", "Programs ran with all 2 layers of the sandbox on."),
        ("not ours", "without these layers of the sandbox: cgroup (not ours)."),
    ],
)
def test_the_layers_that_held_programs_are_told(cgroup: str, told: str) -> None:
    figures = FilterFigures(sandbox={"seccomp": "on", "cgroup": cgroup})

    assert told in printed(figures)
    assert any(told in finding for finding in funnel_view(figures).findings)


def test_the_dearest_check_comes_first_with_its_time_per_row() -> None:
    figures = FilterFigures(
        checks={"think_form": {"verified": 1000}, "task": {"verified": 400, "refuted": 100}},
        seconds={"think_form": 0.014, "task": 2.0},
    )

    first, second = agreement_view(figures).checks

    assert (first.found.name, first.time_per_row) == ("task", "4.0 ms")
    assert (second.found.name, second.time_per_row) == ("think_form", "14 µs")
