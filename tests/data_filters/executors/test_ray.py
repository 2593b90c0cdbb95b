"""The filter on a Ray cluster gives what it gives in local processes."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from data_filters.errors import RunFailedError
from data_filters.files import write_jsonl
from data_filters.pipeline import run_filter
from data_filters.settings import DataSettings, EngineSettings, RaySettings, Source

pytestmark = pytest.mark.ray

Command = Callable[..., subprocess.CompletedProcess[str]]


def settings(rows: Path, executor: str, address: str = "local") -> DataSettings:
    engine = EngineSettings(
        executor=executor,
        workers=2,
        tasks=3,
        ray=RaySettings(address=address, memory_gigabytes_per_worker=1),
    )
    return DataSettings(sources=[Source(name="rows", path=str(rows), task="math")], engine=engine)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    turns = [{"role": "user", "content": "What is 1 + 1?"}, {"role": "assistant", "content": "2"}]
    write_jsonl(
        tmp_path / "rows.jsonl",
        [{"messages": turns, "answer": "2"}, {"messages": turns, "answer": "3"}, {"messages": []}] * 20,
    )
    return tmp_path / "rows.jsonl"


def test_tasks_on_ray_keep_the_rows_that_local_ones_keep(rows: Path) -> None:
    here, there = rows.parent / "here", rows.parent / "there"

    figures = run_filter(settings(rows, "local"), [], here)
    found = run_filter(settings(rows, "ray"), [], there)

    assert (found.read, found.kept) == (figures.read, figures.kept) == (60, 1)
    assert (there / "kept.jsonl").read_bytes() == (here / "kept.jsonl").read_bytes()


def test_shards_that_fail_are_told_with_their_log(rows: Path) -> None:
    def hide(_done: int, _of: int) -> None:
        rows.unlink(missing_ok=True)

    with pytest.raises(
        RunFailedError, match=r"3 of 3 shards failed on Ray, the first is 0; see .*task_00000\.log"
    ):
        run_filter(settings(rows, "ray"), [], rows.parent / "out", hide)


def test_a_cluster_that_is_not_there_is_told(hermes_train: Command, smoke: Path, tmp_path: Path) -> None:
    engine = ("-o", "data.engine.executor=ray", "-o", "data.engine.ray.address=auto")

    done = hermes_train("filter", smoke, "--runs", tmp_path, *engine)

    assert done.returncode == 2
    assert "no Ray cluster is found" in done.stderr
