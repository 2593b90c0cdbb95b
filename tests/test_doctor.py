import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from data_filters.sandbox.layers import Layer
from hermes_train.doctor import OPTIONAL_PACKAGES, REQUIRED_PACKAGES, Finding, State, examine, findings_table


def found(group: str) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine() if finding.group == group}


def test_every_layer_of_the_sandbox_is_on_or_says_why_not() -> None:
    layers = found("sandbox")

    assert set(layers) == {layer.value for layer in Layer}
    for finding in layers.values():
        assert (finding.detail == "on") == (finding.state is State.PRESENT)
        assert finding.detail


def test_every_package_is_named_with_its_version_or_with_what_is_lost() -> None:
    packages = found("packages")

    assert set(packages) == {*REQUIRED_PACKAGES, *OPTIONAL_PACKAGES}
    for name in REQUIRED_PACKAGES:
        assert packages[name].state is State.PRESENT
    for name, without in OPTIONAL_PACKAGES.items():
        assert (packages[name].detail == without) == (packages[name].state is State.ABSENT)


@pytest.mark.parametrize(
    ("script", "state", "detail"),
    [
        ("echo slurm 22.05.8", State.PRESENT, "slurm 22.05.8"),
        ("echo first >&2; echo 'fatal: no controller' >&2; exit 1", State.MISSING, "fatal: no controller"),
    ],
)
def test_a_slurm_that_does_not_answer_is_told_by_its_last_words(
    script: str, state: State, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sbatch", "sinfo"):
        command = tmp_path / name
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    slurm = found("Slurm")

    assert set(slurm) == {"sbatch", "partitions"}
    for finding in slurm.values():
        assert finding.state is state
        assert detail in finding.detail


def test_the_table_names_each_group_once() -> None:
    findings = [
        Finding("machine", "cores", State.PRESENT, "2"),
        Finding("machine", "memory", State.PRESENT, "[24] GiB"),
        Finding("Slurm", "Slurm", State.ABSENT, "no sbatch"),
    ]
    paper = io.StringIO()
    Console(width=100, file=paper, color_system=None).print(findings_table(findings))

    assert paper.getvalue().count("machine") == 1
    assert "[24] GiB" in paper.getvalue()


def test_the_command_prints_one_json_object_for_each_finding() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "hermes_train", "doctor", "--json"], capture_output=True, text=True, check=True
    )

    findings = [json.loads(line) for line in told.stdout.splitlines()]
    assert {finding["group"] for finding in findings} == {"machine", "packages", "GPUs", "sandbox", "Slurm"}
