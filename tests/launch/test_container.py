"""The Docker and the Apptainer image: linted, made of files that exist, and the same in what they install."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTAINER = ROOT / "launch" / "container"
SOURCES = "/opt/hermes-train"
SECTION = re.compile(r"^%(\w+)\n((?:(?!^%).*\n?)*)", re.MULTILINE)


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, list[str]]]:
    """The instructions of the Dockerfile, each with its words."""
    text = "\n".join(
        line for line in (CONTAINER / "Dockerfile").read_text().splitlines() if not line.startswith("#")
    )
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line]
    return [(line.split()[0], shlex.split(line.partition(" ")[2])) for line in lines]


@pytest.fixture(scope="module")
def definition() -> str:
    return (CONTAINER / "hermes-train.def").read_text()


@pytest.fixture(scope="module")
def sections(definition: str) -> dict[str, str]:
    """The sections of the Apptainer definition."""
    return dict(SECTION.findall(definition))


def linted(*command: str | Path, text: str | None = None) -> str:
    """What a linter complains of."""
    program, *arguments = map(str, command)
    path = Path(sys.executable).parent / program
    done = subprocess.run([str(path), *arguments], input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def install_steps(words: list[str]) -> list[str]:
    """The steps of install.sh that a command line runs."""
    return [
        words[place + 1] for place, word in enumerate(words) if word.endswith("launch/container/install.sh")
    ]


def test_hadolint_has_nothing_against_the_dockerfile() -> None:
    assert linted("hadolint", "--no-color", CONTAINER / "Dockerfile") == ""


@pytest.mark.parametrize("section", ["environment", "post", "runscript", "test"])
def test_shellcheck_has_nothing_against_the_scripts_of_the_definition(
    section: str, sections: dict[str, str]
) -> None:
    assert linted("shellcheck", "--shell=sh", "-", text=sections[section]) == ""


def test_the_definition_has_the_sections_of_an_image_that_runs(
    definition: str, sections: dict[str, str]
) -> None:
    assert set(sections) == {"files", "environment", "post", "runscript", "test"}
    assert re.search(r"^Bootstrap: docker$", definition, re.MULTILINE)


def test_both_images_begin_with_the_same_python(
    instructions: list[tuple[str, list[str]]], definition: str
) -> None:
    (base,) = [words[0] for name, words in instructions if name == "FROM"]
    assert f"\nFrom: {base}\n" in definition
    assert ":" in base and "latest" not in base


def test_both_images_run_the_same_steps_of_installation(
    instructions: list[tuple[str, list[str]]], sections: dict[str, str]
) -> None:
    docker = [step for name, words in instructions if name == "RUN" for step in install_steps(words)]

    assert docker == ["system", "packages", "code"]
    assert install_steps(shlex.split(sections["post"], comments=True)) == docker


def test_both_images_set_the_same_environment(
    instructions: list[tuple[str, list[str]]], sections: dict[str, str]
) -> None:
    docker = {word for name, words in instructions if name == "ENV" for word in words}
    apptainer = set(re.findall(r"export (\S+)", sections["environment"]))

    assert apptainer <= docker
    assert {word.partition("=")[0] for word in docker - apptainer} == {"HERMES_VENV"}
    # What %environment sets is not set while the image is made.
    (cuda,) = re.findall(r"export (CUDA_HOME=\S+)", sections["post"])
    assert cuda in apptainer


def test_both_images_hold_the_same_files_and_these_exist(
    instructions: list[tuple[str, list[str]]], sections: dict[str, str]
) -> None:
    docker = {source for name, words in instructions if name == "COPY" for source in words[:-1]}
    apptainer = dict(line.split() for line in sections["files"].splitlines() if line.strip())

    for source in docker | apptainer.keys():
        assert (ROOT / source).exists(), source
    assert all(place == f"{SOURCES}/{source}" for source, place in apptainer.items())
    # Docker copies two of them a second time, for layers that last.
    assert {source.partition("/")[0] for source in docker} == set(apptainer)


def test_the_builder_is_sent_what_is_copied_and_nothing_else(
    instructions: list[tuple[str, list[str]]],
) -> None:
    lines = (CONTAINER / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    sent = {rule[1:] for rule in rules if rule.startswith("!")}

    assert rules[0] == "*"
    assert sent == {words[0].partition("/")[0] for name, words in instructions if name == "COPY"} | {
        "constraints.txt",
        "README.md",
    }
    for private in (".git", ".venv", "runs", "wandb", ".env"):
        assert not any(fnmatch(private, rule) for rule in sent)


def test_all_that_pip_installs_by_extras_has_its_version_pinned() -> None:
    (extras,) = re.findall(r"^EXTRAS=(\S+)$", (CONTAINER / "install.sh").read_text(), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [
        requirement for extra in extras.split(",") for requirement in project["optional-dependencies"][extra]
    ]
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }

    names = {re.split(r"[<>=\[]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    assert names <= pinned, names - pinned


def test_the_docker_image_runs_as_an_ordinary_user_and_is_given_no_secret(
    instructions: list[tuple[str, list[str]]],
) -> None:
    users = [words[0] for name, words in instructions if name == "USER"]
    set_in_image = [word for name, words in instructions if name in ("ENV", "ARG") for word in words]

    assert users[-1] not in ("0", "root")
    assert not any(re.search(r"TOKEN|KEY|PASSWORD|SECRET", word) for word in set_in_image)


def test_a_step_that_install_does_not_know_is_told() -> None:
    done = subprocess.run(
        ["bash", CONTAINER / "install.sh", "everything", "."], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "there is no step everything; usage: install.sh system|packages|code FOLDER" in done.stderr
