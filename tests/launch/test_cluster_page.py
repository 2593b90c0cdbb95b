"""docs/cluster.md names only commands, options, settings and files that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from hermes_train.cli import app
from hermes_train.training.watch.stage_log import EndReason

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "cluster.md").read_text()


def test_its_commands_and_their_options_exist(page: str) -> None:
    commands = getattr(get_command(app), "commands")  # noqa: B009  # mypy does not see that it is a group
    lines = re.findall(r"hermes-train ([a-z]+)([^`\n#|]*)", page)

    assert {"doctor", "plan", "launch", "status"} <= {name for name, _ in lines}
    for name, rest in lines:
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--?[a-z-]+", rest)) <= known, (name, rest)


def test_its_settings_are_those_of_the_site_or_of_the_scripts(page: str) -> None:
    known = "".join(path.read_text() for path in LAUNCH.rglob("*") if path.is_file())

    names = set(re.findall(r"\b(?:HERMES|NCCL|HF)_[A-Z_]+", page)) - {"HERMES_ACOUNT"}
    assert {name for name in names if not re.search(rf"\b{name}\b", known)} <= {"HF_TOKEN"}


def test_its_files_exist(page: str) -> None:
    files = set(re.findall(r"\b(?:launch|recipes)/[\w./-]*\w/?", page))
    pages = set(re.findall(r"\]\(([a-z-]+\.md)", page))

    assert {name for name in files if not (ROOT / name).exists()} == set()
    assert {name for name in pages if not (ROOT / "docs" / name).exists()} == set()


def test_the_ends_that_it_explains_are_ends_of_a_log(page: str) -> None:
    ends = set(re.findall(r"`end \((\w+)\)`", page))

    assert ends
    assert ends <= {reason.value for reason in EndReason}
