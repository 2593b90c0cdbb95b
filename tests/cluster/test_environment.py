"""launch/cluster.env means the same to Python as to bash."""

from __future__ import annotations

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from data_filters.errors import UserError
from hermes_train.cluster.environment import LAUNCH, ClusterEnvironment, read_environment, seconds_of


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of settings that is this process' own."""
    file = tmp_path / "my cluster.env"
    monkeypatch.setenv("HERMES_CLUSTER_ENV", str(file))
    return file


def test_every_line_of_the_file_is_explained_and_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HERMES_CLUSTER_ENV", raising=False)
    lines = (LAUNCH / "cluster.env").read_text().splitlines()
    names = [line.partition("=")[0] for line in lines if re.match(r"[A-Z]\w*=", line)]

    settings = read_environment()

    assert settings.file == LAUNCH / "cluster.env"
    assert (settings.time, settings.cpus, settings.tries, settings.partition) == ("24:00:00", 16, 3, None)
    assert not [line for line in lines if re.match(r"[A-Z]\w*=", line) and "#" not in line]
    assert {name for name in names if name.startswith("HERMES_")} == {
        "HERMES_VENV" if field.name == "virtual_environment" else f"HERMES_{field.name.upper()}"
        for field in fields(ClusterEnvironment)
        if field.name not in ("file", "variables")
    }


def test_bash_reads_the_file(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM", "post training")
    site.write_text(
        'HERMES_ACCOUNT="$TEAM"   # who pays\n'
        "HERMES_SBATCH=\"--mail-type=FAIL '--comment=two words'\"\n"
        "if [ -d / ]; then HERMES_PARTITION=gpu; fi\n"
        "HERMES_HANG_MINUTES=0.1\n"
        "echo a line that is no setting\n"
    )

    settings = read_environment()

    assert settings.account == "post training"
    assert settings.sbatch == ("--mail-type=FAIL", "--comment=two words")
    assert settings.partition == settings.cpu_partition == "gpu"
    assert settings.hang_minutes == 0.1


def test_what_the_process_was_given_wins_over_the_file_as_it_does_in_the_scripts(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write_text("HERMES_PARTITION=gpu\nHERMES_CPU_PARTITION=cpu\nHERMES_QOS=long\nNCCL_DEBUG=INFO\n")
    monkeypatch.setenv("HERMES_PARTITION", "other")
    monkeypatch.setenv("HERMES_CPU_PARTITION", "")

    settings = read_environment()
    shown = 'source "$1"; echo "$HERMES_PARTITION|${HERMES_CPU_PARTITION-}|$HERMES_QOS|$NCCL_DEBUG"'
    told = subprocess.run(
        ["bash", "-c", shown, "bash", str(LAUNCH / "environment.sh")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert (settings.partition, settings.cpu_partition, settings.qos) == ("other", "other", "long")
    assert settings.variables["NCCL_DEBUG"] == "INFO"
    assert told.stdout == "other||long|INFO\n"


def test_a_name_that_another_program_has_is_no_mistake(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.write_text("")
    monkeypatch.setenv("HERMES_HOME", "/opt/hermes")

    assert read_environment().tries == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("HERMES_PARTITON=gpu", "no setting HERMES_PARTITON; did you mean HERMES_PARTITION?"),
        ("HERMES_COLOUR=red", "no setting HERMES_COLOUR; launch/cluster.env has them all"),
        ("HERMES_TRIES=many", r"HERMES_TRIES is 'many' in .*; it has to be a whole number above 0"),
        ("HERMES_TRIES=1.5", "a whole number above 0"),
        ("HERMES_CPUS=0", "a whole number above 0"),
        ("HERMES_MEMORY=64GB", "HERMES_MEMORY is '64GB' in .*; it has to be an amount such as 512G, or 0"),
        ("HERMES_HANG_MINUTES=nan", "a number above 0"),
        ("HERMES_TIME=tomorrow", "HERMES_TIME is 'tomorrow' in .*; it has to be a time such as"),
        ("HERMES_TIME=10", "HERMES_SIGNAL_SECONDS is 600, but HERMES_TIME is 10, which is 600 seconds"),
        ("HERMES_SBATCH='--comment=\"open'", "HERMES_SBATCH is .* words with quotes in pairs"),
        ("HERMES_ACCOUNT=$NO_SUCH_NAME", "bash cannot read .*NO_SUCH_NAME: unbound variable"),
        ("HERMES_ACCOUNT=$(no-such-program)", "bash cannot read .*no-such-program: command not found"),
    ],
)
def test_a_wrong_line_is_told(site: Path, text: str, message: str) -> None:
    site.write_text(text + "\n")

    with pytest.raises(UserError, match=message) as told:
        read_environment()
    assert "\n" not in str(told.value)


def test_a_misspelt_name_in_the_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMES_ACOUNT", "research")

    with pytest.raises(UserError, match="HERMES_ACOUNT, which is no setting; did you mean HERMES_ACCOUNT"):
        read_environment()


def test_a_file_that_is_not_there_is_told_with_the_name_that_leads_there(site: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*my cluster.env, which \$HERMES_CLUSTER_ENV names"):
        read_environment()


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("90", 5400),
        ("90:30", 5430),
        ("24:00:00", 86_400),
        ("2-12", 216_000),
        ("1-00:30", 88_200),
        ("1-00:00:05", 86_405),
        ("1:2:3:4", None),
        ("-1", None),
        ("two", None),
    ],
)
def test_times_are_read_as_slurm_reads_them(time: str, seconds: int | None) -> None:
    assert seconds_of(time) == seconds


def test_an_installation_without_the_scripts_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hermes_train.cluster.environment.LAUNCH", tmp_path)

    with pytest.raises(UserError, match="installed without its scripts; install it from its checkout"):
        read_environment()
