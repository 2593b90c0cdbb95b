"""`hermes-train launch` on a real Slurm: a run becomes jobs in the queue, all of them or none, and never twice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))

from launches import RECIPES, launched, submitted, wait_until_empty  # found by the line above

from data_filters.errors import RunFailedError, UserError
from data_filters.files import write_jsonl
from hermes_train.cluster import slurm
from hermes_train.cluster.chain import chain_jobs
from hermes_train.cluster.launching import LaunchRequest, prepare_launch
from hermes_train.runs import STAGES, StageState, Standing

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]

SBATCH = """\
#!/usr/bin/env bash
# Stands before the real sbatch and spoils one submission.
[[ " $* " == *" --test-only "* ]] && exec {real} "$@"
echo one >>{count}
(( $(wc -l <{count}) == {number} )) || exec {real} "$@"
"""
REFUSE = "echo 'sbatch: error: Batch job submission failed: QOSMaxSubmitJobPerUserLimit' >&2; exit 1\n"
LOSE = '{real} "$@" >/dev/null; echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1\n'
KILL = '{real} "$@" >/dev/null; kill -9 $PPID\n'


@pytest.fixture
def site(
    slurm_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Sets what the file of the site says; no job is left in the queue."""
    file = tmp_path / "cluster.env"
    monkeypatch.setenv("HERMES_CLUSTER_ENV", str(file))

    def write(**settings: str) -> None:
        usual = {"CPUS": "2", "TIME": "10", "CPU_TIME": "10", "SIGNAL_SECONDS": "60"}
        file.write_text("".join(f'HERMES_{name}="{value}"\n' for name, value in (usual | settings).items()))

    write()
    yield write
    slurm.cancel(job.job for job in slurm.queued_jobs())
    wait_until_empty()


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "hermes_train", "launch", *map(str, arguments)]


def test_two_launches_at_once_submit_one_chain_and_a_third_is_refused(
    site: Callable[..., None], smoke: Path, tmp_path: Path
) -> None:
    site(SBATCH="--hold")
    both = [
        subprocess.Popen(
            command(smoke, "--runs", tmp_path),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]

    ends = sorted((process.communicate(), process.wait())[::-1] for process in both)

    (good, (told, _)), (bad, (_, error)) = ends
    assert (good, bad) == (0, 2)
    assert re.fullmatch(
        r"error: .*(is being launched by another process|are in the queue already).*\n", error
    )
    jobs = submitted(tmp_path / "smoke")
    numbers = [job["job"] for job in jobs]
    assert [job["stage"] for job in jobs] == list(STAGES)
    assert [job["after"] for job in jobs] == [[], *([number] for number in numbers[:-1])]
    assert [job.job for job in sorted(slurm.queued_jobs(), key=lambda job: job.job)] == numbers
    assert f"scancel {' '.join(map(str, numbers))}" in told
    assert f"hermes-train status {tmp_path}/smoke" in told
    assert str(tmp_path / "smoke" / "jobs" / "sft" / f"{numbers[3]}.log") in told

    # A record that is lost changes nothing: the jobs themselves say which run they belong to.
    (tmp_path / "smoke" / "jobs" / "chain.json").unlink()
    with pytest.raises(UserError, match=rf"in the queue already: {numbers[0]} \(smoke-prepare, pending\)"):
        launched(LaunchRequest(smoke, runs=tmp_path))
    assert len(slurm.queued_jobs()) == len(STAGES)


def test_the_printed_commands_are_a_script_that_submits_the_same_chain(
    site: Callable[..., None], smoke: Path, tmp_path: Path
) -> None:
    site(SBATCH="--hold")
    dry = subprocess.run(
        command(smoke, "--dry-run", "--runs", tmp_path), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not (tmp_path / "smoke").exists()
    assert not slurm.queued_jobs()

    subprocess.run(["bash"], cwd=ROOT, input=dry.stdout, text=True, check=True, capture_output=True)

    jobs = sorted(slurm.queued_jobs(), key=lambda job: job.job)
    assert [job.name for job in jobs] == [f"smoke-{stage}" for stage in STAGES]
    assert [job.dependency.partition("(")[0] for job in jobs] == [
        "",
        *(f"afterok:{job.job}" for job in jobs[:-1]),
    ]
    assert (tmp_path / "smoke" / "jobs" / "sft").is_dir()
    with pytest.raises(UserError, match="are in the queue already"):
        launched(LaunchRequest(smoke, runs=tmp_path))


def test_a_run_whose_jobs_wait_is_not_made_beside_them(
    site: Callable[..., None], hermes_train: Callable[..., Any], smoke: Path, tmp_path: Path
) -> None:
    site(SBATCH="--hold")
    launched(LaunchRequest(smoke, runs=tmp_path))
    numbers = sorted(job.job for job in slurm.queued_jobs())
    run = tmp_path / "smoke"

    beside = hermes_train("run", smoke, "--runs", tmp_path, "--until", "prepare")

    assert beside.returncode == 2
    assert re.fullmatch(
        rf"error: jobs of {run} are in the queue: {numbers[0]} \(smoke-prepare, pending\).*; nothing was started.*"
        rf"take them out with `scancel {' '.join(map(str, numbers))}`\n",
        beside.stderr,
    )
    assert not (run / "prepare").exists()

    slurm.cancel(numbers)
    wait_until_empty()
    assert hermes_train("run", smoke, "--runs", tmp_path, "--until", "prepare").returncode == 0
    assert (run / "prepare" / "manifest.json").exists()


def test_a_run_that_was_launched_on_slurm_is_finished_where_there_is_none(
    site: Callable[..., None], hermes_train: Callable[..., Any], smoke: Path, tmp_path: Path
) -> None:
    (tmp_path / "smoke" / "jobs" / "prepare").mkdir(parents=True)

    done = hermes_train("run", smoke, "--runs", tmp_path, "--until", "prepare", PATH="/nowhere")

    assert done.returncode == 0, done.stderr
    assert "is not known (there is no squeue on this machine)" in done.stdout


@pytest.mark.parametrize("recipe", sorted(path.name for path in RECIPES.glob("*.yaml")))
def test_slurm_takes_every_job_of_every_recipe(
    recipe: str, site: Callable[..., None], slurm_cluster: Any, tmp_path: Path
) -> None:
    site(PARTITION=slurm_cluster.gpu_partition, CPU_PARTITION=slurm_cluster.partition)
    rows = tmp_path / "rows.jsonl"
    write_jsonl(rows, [{"question": "What is 1 + 1?", "answer": "#### 2"}])
    files = ("data.sources.gsm8k", "data.sources.gsm8k-direct", "evaluate.problems.gsm8k-test")
    overrides = [f"{key}.path={rows}" for key in files] if recipe == "gsm8k.yaml" else []

    run = prepare_launch(LaunchRequest(RECIPES / recipe, overrides, tmp_path)).on_slurm
    jobs = chain_jobs(run, dict.fromkeys(STAGES, Standing(StageState.MISSING)), "export")

    assert len(jobs) == len(STAGES)
    for job in jobs:
        slurm.require_accepted(job.command(), run.exported)


@pytest.mark.parametrize(
    ("settings", "nodes", "message"),
    [
        (
            {"PARTITION": "elsewhere"},
            None,
            r"invalid partition specified: elsewhere.*Partitions here: test \(2 nodes",
        ),
        ({"CPUS": "64"}, None, r"--cpus-per-task=64 .*Requested node configuration is not available"),
        ({"SBATCH": "--no-such-option"}, None, "unrecognized option '--no-such-option'"),
        ({"PARTITON": "gpu"}, None, "no setting HERMES_PARTITON; did you mean HERMES_PARTITION"),
        ({}, 3, r"smoke does not fit on 3 x 1 ranks on CPUs: .*; it fits with --nodes"),
    ],
    ids=["partition", "cores", "option", "name", "ranks"],
)
def test_what_cannot_be_is_told_in_one_line_before_anything_is_submitted(
    site: Callable[..., None],
    smoke: Path,
    tmp_path: Path,
    settings: dict[str, str],
    nodes: int | None,
    message: str,
) -> None:
    site(**settings)

    with pytest.raises(UserError, match=message) as told:
        launched(LaunchRequest(smoke, runs=tmp_path, nodes=nodes))

    assert "\n" not in str(told.value)
    assert not slurm.queued_jobs()
    assert not (tmp_path / "smoke" / "run.json").exists()


def test_more_nodes_than_slurm_has_are_refused_though_the_plan_takes_them(
    site: Callable[..., None], slurm_cluster: Any, tmp_path: Path
) -> None:
    site(PARTITION=slurm_cluster.gpu_partition, CPU_PARTITION=slurm_cluster.partition)

    with pytest.raises(
        UserError, match=r"job of sft \(--nodes=48 --gpus-per-node=8 .*not available; nothing was"
    ):
        launched(LaunchRequest(RECIPES / "hermes4-405b.yaml", runs=tmp_path, nodes=48))
    assert not slurm.queued_jobs()


def test_another_users_run_is_left_alone(site: Callable[..., None], smoke: Path, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    run = tmp_path / "smoke"
    run.mkdir()
    os.chown(run, 65534, 65534)

    with pytest.raises(UserError, match=r"is the run of another user \(nobody\); choose another folder"):
        launched(LaunchRequest(smoke, runs=tmp_path))
    assert not list(run.iterdir())


def test_without_slurm_a_launch_says_where_to_go(
    site: Callable[..., None], smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bash = tmp_path / "bin"
    bash.mkdir()
    (bash / "bash").symlink_to(shutil.which("bash") or "")
    (bash / "env").symlink_to(shutil.which("env") or "")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("PATH", str(bash))
        with pytest.raises(UserError, match=r"no sbatch on this machine.*--cluster torchrun"):
            launched(LaunchRequest(smoke, runs=tmp_path))


def test_a_controller_that_does_not_answer_is_told_and_nothing_is_submitted(
    site: Callable[..., None],
    smoke: Path,
    tmp_path: Path,
    slurm_cluster: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = Path(slurm_cluster.environment["SLURM_CONF"]).read_text()
    silent = tmp_path / "slurm.conf"
    silent.write_text(re.sub(r"SlurmctldPort=\d+", "SlurmctldPort=1", here) + "MessageTimeout=2\n")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("SLURM_CONF", str(silent))
        with pytest.raises(
            RunFailedError, match=r"Slurm does not say whether jobs of .* nothing was submitted"
        ):
            launched(LaunchRequest(smoke, runs=tmp_path))
    assert not slurm.queued_jobs()


def spoil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, number: int) -> None:
    """Put an sbatch before the real one that spoils the submission of that number."""
    values = {"real": shutil.which("sbatch"), "count": tmp_path / "count", "number": number}
    folder = tmp_path / "before"
    folder.mkdir()
    (folder / "sbatch").write_text((SBATCH + how).format(**values))
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("how", "number", "told"),
    # The third job would end with the second; of the first nothing is known but what the queue says.
    [
        (REFUSE, 3, r"job of pack was not submitted \(.*QOSMaxSubmitJobPerUserLimit"),
        (LOSE, 1, r"job of prepare was not submitted \(Socket timed out"),
    ],
    ids=["refused", "answer lost"],
)
def test_a_launch_that_fails_in_the_middle_leaves_nothing_in_the_queue(
    site: Callable[..., None],
    smoke: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    number: int,
    told: str,
) -> None:
    site(SBATCH="--hold")
    spoil(tmp_path, monkeypatch, how, number)

    with pytest.raises(RunFailedError, match=rf"{told}.*were cancelled") as raised:
        launched(LaunchRequest(smoke, runs=tmp_path))

    assert "\n" not in str(raised.value)
    assert not [job for job in slurm.queued_jobs() if job.state == "PENDING"]
    assert submitted(tmp_path / "smoke") == []


def test_a_launch_that_is_killed_between_two_jobs_is_seen_by_the_next(
    site: Callable[..., None], smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site(SBATCH="--hold")
    spoil(tmp_path, monkeypatch, KILL, 3)

    killed = subprocess.run(command(smoke, "--runs", tmp_path), cwd=ROOT, capture_output=True, check=False)

    assert killed.returncode == -9
    assert [job["stage"] for job in submitted(tmp_path / "smoke")] == ["prepare", "filter"]
    standing = " ".join(str(job.job) for job in sorted(slurm.queued_jobs(), key=lambda job: job.job))
    assert len(standing.split()) == 3
    with pytest.raises(UserError, match=f"take them out with `scancel {standing}` and launch again"):
        launched(LaunchRequest(smoke, runs=tmp_path))
