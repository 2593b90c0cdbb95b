"""The filter as an array of jobs gives what it gives on one machine, whatever stops the process that waits for it."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from data_filters.errors import RunFailedError, UserError
from data_filters.files import write_jsonl
from data_filters.pipeline import run_filter
from data_filters.settings import DataSettings, EngineSettings, SlurmSettings, Source

pytestmark = pytest.mark.slurm

PROGRAM = """
import sys
from pathlib import Path
from data_filters.pipeline import run_filter
from data_filters.settings import DataSettings
run_filter(DataSettings.model_validate_json(sys.argv[1]), [], Path(sys.argv[2]))
"""
SECONDS = re.compile(rb'"seconds":[0-9.e-]+')


def settings(rows: Path, partition: str | None, **slurm: object) -> DataSettings:
    chosen = SlurmSettings(partition=partition, time="10", memory_gigabytes_per_worker=1, **slurm)
    engine = EngineSettings(executor="slurm" if partition else "local", workers=2, tasks=6, slurm=chosen)
    sources = [
        Source(name="made", synthetic="sums", mode="think", rows=300, faults=0.3),
        Source(name="file", path=str(rows), task="math"),
    ]
    return DataSettings(sources=sources, engine=engine)


def rows(count: int) -> list[dict[str, object]]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"What is {number} + 2?"},
                {"role": "assistant", "content": str(number + 2 + (number % 7 == 0))},
            ],
            "answer": str(number + 2),
        }
        for number in range(count)
    ]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "rows.jsonl", rows(400))
    return tmp_path / "rows.jsonl"


def test_jobs_on_two_nodes_write_the_same_bytes_as_one_machine(slurm_cluster: Any, source: Path) -> None:
    here, there = source.parent / "here", source.parent / "there"
    calls: list[tuple[int, int]] = []

    figures = run_filter(settings(source, None), [], here)
    found = run_filter(
        settings(source, slurm_cluster.partition), [], there, lambda done, of: calls.append((done, of))
    )

    assert (found.read, found.kept) == (figures.read, figures.kept)
    assert (there / "kept.jsonl").read_bytes() == (here / "kept.jsonl").read_bytes()
    for name in ("rejected.jsonl", "verdicts.jsonl"):
        one, other = (SECONDS.sub(b"", (folder / name).read_bytes()) for folder in (here, there))
        assert one == other
    assert calls[-1] == (6, 6)
    (stats,) = there.glob("logs/*/stats.json")
    assert json.loads(stats.read_text())[0]["stats"]["read"]["total"] == 700


def test_shards_that_fail_are_told_with_their_log_and_only_they_run_again(
    slurm_cluster: Any, source: Path
) -> None:
    out = source.parent / "out"
    data = settings(source, slurm_cluster.partition)
    hidden = source.with_suffix(".hidden")

    def hide(_done: int, _of: int) -> None:
        # The plan is made; the jobs have not started yet.
        if source.exists():
            source.rename(hidden)

    with pytest.raises(
        RunFailedError, match=r"4 of 6 shards failed in Slurm job \d+, the first is 2 \(FileNotFoundError: "
    ) as told:
        run_filter(data, [], out, hide)
    log = Path(re.search(r"\S+task_00002\.log", str(told.value))[0])
    assert "FileNotFoundError" in log.read_text()

    hidden.rename(source)
    run_filter(data, [], out)

    assert len((out / "verdicts.jsonl").read_bytes().splitlines()) == 700
    (again,) = out.glob("logs/*/ranks_to_run.json")
    assert json.loads(again.read_text()) == [2, 3, 4, 5]


def test_a_waiting_run_that_is_killed_waits_for_the_same_jobs_again(slurm_cluster: Any, source: Path) -> None:
    out = source.parent / "out"
    data = settings(source, slurm_cluster.partition)
    kill_waiting_run(data, out)
    before = int(slurm_cluster.command("squeue", "--noheader", "--format=%A").split()[0])

    run_filter(data, [], out)

    after = slurm_cluster.command("sbatch", "--wrap=true", "--output=/dev/null").split()[-1]
    assert int(after) <= before + 2, "another job was submitted"
    assert (out / "kept.jsonl").is_file()
    assert not list(out.glob("logs/*/array.txt"))


def test_the_jobs_of_a_killed_run_with_other_settings_are_cancelled(slurm_cluster: Any, source: Path) -> None:
    out = source.parent / "out"
    kill_waiting_run(settings(source, slurm_cluster.partition, sbatch={"begin": "now+1hour"}), out)
    others = settings(source, None)
    others = others.model_copy(update={"sources": others.sources[:1]})

    figures = run_filter(others, [], out)

    assert figures.read == 300
    assert slurm_cluster.command("squeue", "--noheader") == ""


def kill_waiting_run(data: DataSettings, out: Path) -> None:
    """Start the filter in a process of its own and kill it when its jobs are in the queue."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, data.model_dump_json(), str(out)])
    while not in_queue("hermes-filter"):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()


def in_queue(name: str) -> list[str]:
    """Numbers of the jobs and arrays in the queue whose name starts so."""
    told = subprocess.run(
        ["squeue", "--noheader", "--format=%F %j"], capture_output=True, text=True, check=True
    ).stdout
    found = (line.split() for line in told.splitlines())
    return sorted({number for number, job in found if job.startswith(name)})


def test_sbatch_that_refuses_is_told_with_its_reason(
    slurm_cluster: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = source.parent / "out"
    with pytest.raises(
        RunFailedError, match=r"sbatch refused the jobs of filter: .*invalid partition specified"
    ):
        run_filter(settings(source, "elsewhere"), [], out)

    # A site whose compute nodes may not submit.
    slurm_cluster.command(
        *("scontrol", "create", "PartitionName=closed", "AllocNodes=login", "Nodes=n1", "State=UP")
    )
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with pytest.raises(
        RunFailedError, match=r"[Dd]enied.*may not submit jobs, set data.engine.executor: local"
    ):
        run_filter(settings(source, "closed"), [], out)
    slurm_cluster.command("scontrol", "delete", "PartitionName=closed")

    assert in_queue("hermes-filter") == []


def test_a_job_without_sbatch_is_told_to_filter_itself(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("SLURM_JOB_ID", "17")

    with pytest.raises(UserError, match=r"this job has no sbatch .* set data.engine.executor: local"):
        run_filter(settings(source, "test"), [], source.parent / "out")


def test_programs_are_run_inside_a_job_as_they_are_here(slurm_cluster: Any, tmp_path: Path) -> None:
    task = {"kind": "code", "entry_point": "double", "cases": [{"args": [3], "expected": 6}]}
    programs = ["def double(n):\n    return 2 * n", "def double(n):\n    return n", "import os; os._exit(0)"]
    turns = [
        [
            {"role": "user", "content": f"Write double, version {number}."},
            {"role": "assistant", "content": f"```python\n{program}\n```"},
        ]
        for number, program in enumerate(programs)
    ]
    write_jsonl(tmp_path / "rows.jsonl", [{"messages": found, "task": task} for found in turns])
    source = Source(name="code", path=str(tmp_path / "rows.jsonl"))
    outcomes = []

    for partition in (None, slurm_cluster.partition):
        data = settings(tmp_path / "rows.jsonl", partition).model_copy(update={"sources": [source]})
        run_filter(data, [], tmp_path / str(partition))
        lines = (tmp_path / str(partition) / "verdicts.jsonl").read_text().splitlines()
        outcomes.append([json.loads(line)["outcome"] for line in lines])

    assert outcomes[0] == ["verified", "refuted", "refuted"]
    assert outcomes[1] == outcomes[0]
