"""The whole filter: no row is lost or doubled, whatever the number of workers and wherever it is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from data_filters.errors import UserError
from data_filters.files import read_jsonl, write_jsonl
from data_filters.pipeline import run_filter
from data_filters.samples import Message, Sample
from data_filters.settings import ContaminationSettings, DataSettings, EngineSettings, Source


def row(number: int, answer: int | str, **more: Any) -> dict[str, Any]:
    turns = [
        {"role": "user", "content": f"What is {number} + 2?"},
        {"role": "assistant", "content": str(answer)},
    ]
    return {"messages": turns, "answer": str(number + 2), **more}


def good(count: int) -> list[dict[str, Any]]:
    return [row(number, number + 2) for number in range(count)]


def settings(file: Path, workers: int = 1, **more: Any) -> DataSettings:
    source = Source(name="sums", path=str(file), task="math")
    return DataSettings(sources=[source], engine=EngineSettings(workers=workers), **more)


def ids(file: Path) -> list[str]:
    return [found["id"] for found in read_jsonl(file)]


def test_every_row_is_kept_or_rejected_with_a_reason(tmp_path: Path) -> None:
    lines = [json.dumps(found) for found in good(3)]
    lines += [json.dumps(row(9, "10")), "no json", '{"messages": [', json.dumps({"messages": []}), lines[0]]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))

    figures = run_filter(settings(tmp_path / "rows.jsonl"), [], tmp_path / "out")

    assert (figures.read, figures.kept) == (8, 3)
    assert figures.sources["sums"].rejected == {
        "math_wrong_answer": 1,
        "row_not_json": 1,
        "row_truncated": 1,
        "no_messages": 1,
        "duplicate_exact": 1,
    }
    assert ids(tmp_path / "out" / "verdicts.jsonl") == [f"sums/{number}" for number in range(8)]
    rejected = list(read_jsonl(tmp_path / "out" / "rejected.jsonl"))
    assert [found["verdict"]["id"] for found in rejected] == [f"sums/{number}" for number in range(3, 8)]
    assert rejected[1]["line"] == "no json"
    assert rejected[3]["row"] == {"messages": []}
    assert figures.examples["math_wrong_answer"][0].answer == "10"


def test_two_workers_write_the_same_rows_in_the_same_order_as_one(tmp_path: Path) -> None:
    rows = good(40) + good(10) + [row(number, 0) for number in range(50, 60)]
    write_jsonl(tmp_path / "rows.jsonl", rows)

    for workers in (1, 2):
        run_filter(settings(tmp_path / "rows.jsonl", workers), [], tmp_path / f"out{workers}")

    one, two = tmp_path / "out1", tmp_path / "out2"
    assert (one / "kept.jsonl").read_bytes() == (two / "kept.jsonl").read_bytes()
    assert ids(one / "kept.jsonl") == [f"sums/{number}" for number in range(40)]
    assert ids(one / "verdicts.jsonl") == ids(two / "verdicts.jsonl")


def test_the_figures_are_written_beside_the_rows(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", good(3))

    figures = run_filter(settings(tmp_path / "rows.jsonl"), [], tmp_path / "out")

    assert json.loads((tmp_path / "out" / "figures.json").read_text()) == figures.to_dict()
    assert set(figures.seconds) == {"think_form", "task"}
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {
        "kept.jsonl",
        "rejected.jsonl",
        "verdicts.jsonl",
        "figures.json",
        "logs",
    }


def test_held_out_prompts_are_rejected(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", good(4))
    write_jsonl(tmp_path / "bench.jsonl", [{"problem": "What is 3 + 2?"}])
    held_out = [Sample("held/0", "held", [Message("user", "What is 1 + 2?")])]
    data = settings(
        tmp_path / "rows.jsonl", contamination=ContaminationSettings(against=[str(tmp_path / "bench.jsonl")])
    )

    figures = run_filter(data, held_out, tmp_path / "out")

    assert ids(tmp_path / "out" / "kept.jsonl") == ["sums/0", "sums/2"]
    assert figures.rejected == {"contaminated_exact": 2}


def test_planted_faults_are_counted_against_caught_ones(tmp_path: Path) -> None:
    rows = [*good(3), row(5, 1, meta={"fault": "wrong_answer"}), row(6, 8, meta={"fault": "unseen"})]
    write_jsonl(tmp_path / "rows.jsonl", rows)

    faults = run_filter(settings(tmp_path / "rows.jsonl"), [], tmp_path / "out").faults

    assert (faults["wrong_answer"].planted, faults["wrong_answer"].caught_by) == (1, {"math_wrong_answer": 1})
    assert (faults["unseen"].planted, faults["unseen"].caught) == (1, 0)


def test_program_made_rows_go_the_same_way(tmp_path: Path) -> None:
    source = Source(name="made", synthetic="sums", mode="think", rows=60, seed=3, faults=0.3)

    figures = run_filter(DataSettings(sources=[source]), [], tmp_path / "out")

    assert figures.read == 60
    assert figures.faults
    assert all(fault.caught == fault.planted for fault in figures.faults.values())
    assert figures.clean_read + sum(fault.planted for fault in figures.faults.values()) == 60


def test_two_programs_of_one_kind_make_rows_of_different_ids(tmp_path: Path) -> None:
    sources = [
        Source(name=f"sums-{mode}", synthetic="sums", mode=mode, rows=9) for mode in ("think", "direct")
    ]

    run_filter(DataSettings(sources=sources), [], tmp_path / "out")

    found = ids(tmp_path / "out" / "verdicts.jsonl")
    assert found == [f"sums-{mode}/{number}" for mode in ("think", "direct") for number in range(9)]


def test_a_failed_check_is_counted_apart(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [row(1, "\\boxed{9^9^9^9}"), row(2, 4)])

    funnel = run_filter(settings(tmp_path / "rows.jsonl"), [], tmp_path / "out").sources["sums"]

    assert funnel.rejected == funnel.failed == {"math_too_large": 1}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mode_that_no_row_has_is_wrong_use_and_nothing_is_written(tmp_path: Path, workers: int) -> None:
    write_jsonl(tmp_path / "rows.jsonl", good(5))
    source = Source(name="sums", path=str(tmp_path / "rows.jsonl"), mode="think")
    data = DataSettings(sources=[source], engine=EngineSettings(workers=workers))

    with pytest.raises(
        UserError, match=r"'sums' asks for mode think; 0 of its 5 rows have it \(5 have the other"
    ):
        run_filter(data, [], tmp_path / "out")

    assert not list((tmp_path / "out").glob("*.json*"))
    assert not list((tmp_path / "out").glob(".*"))


def test_a_missing_or_empty_source_is_wrong_use_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")

    with pytest.raises(UserError, match="has no rows"):
        run_filter(settings(tmp_path / "empty.jsonl"), [], tmp_path / "out")
    with pytest.raises(UserError, match="there is no file"):
        run_filter(settings(tmp_path / "gone.jsonl"), [], tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_nothing_is_said_on_the_screen_and_the_log_is_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", good(3))

    run_filter(settings(tmp_path / "rows.jsonl", workers=2), [], tmp_path / "out")

    assert capfd.readouterr() == ("", "")
    assert any(log.stat().st_size for log in (tmp_path / "out" / "logs").rglob("*.log"))


def test_progress_ends_with_all_shards(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", good(3))
    calls: list[tuple[int, int]] = []

    run_filter(
        settings(tmp_path / "rows.jsonl"), [], tmp_path / "out", lambda done, of: calls.append((done, of))
    )

    assert calls[-1] == (4, 4)
    assert calls == sorted(calls)


def test_a_changed_file_is_read_anew_after_an_interrupted_run(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", good(5))
    data = settings(tmp_path / "rows.jsonl")
    thinking = data.model_copy(update={"sources": [data.sources[0].model_copy(update={"mode": "think"})]})
    with pytest.raises(UserError):
        run_filter(thinking, [], tmp_path / "out")
    assert (tmp_path / "out" / "shards").is_dir()

    write_jsonl(tmp_path / "rows.jsonl", good(6))

    assert run_filter(data, [], tmp_path / "out").kept == 6
    assert not (tmp_path / "out" / "shards").exists()


PROGRAM = """
import sys
from pathlib import Path
from data_filters.pipeline import run_filter
from data_filters.settings import DataSettings
if __name__ == "__main__":
    run_filter(DataSettings.model_validate_json(sys.argv[1]), [], Path(sys.argv[2]))
"""


def start(data: DataSettings, out: Path) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    program = out.parent / "program.py"
    program.write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, str(program), data.model_dump_json(), str(out)],
        env=environment,
        start_new_session=True,
    )


@pytest.mark.parametrize(("workers", "shards_before_the_kill"), [(1, 0), (1, 3), (2, 3)])
def test_a_killed_run_is_finished_by_the_same_call_without_a_row_lost_or_doubled(
    tmp_path: Path, workers: int, shards_before_the_kill: int
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", good(3000))
    source = Source(name="sums", path=str(tmp_path / "rows.jsonl"), task="math")
    data = DataSettings(sources=[source], engine=EngineSettings(workers=workers, tasks=30))
    out = tmp_path / "out"
    process = start(data, out)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(out.glob("shards/*/[0-9]*"))) >= shards_before_the_kill and out.exists():
            break
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "kept.jsonl").exists()

    figures = run_filter(data, [], out)

    assert figures.kept == 3000
    assert ids(out / "kept.jsonl") == [f"sums/{number}" for number in range(3000)]
    assert not list(out.glob(".*"))


def test_finished_shards_are_not_done_again(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", good(300))
    data = settings(tmp_path / "rows.jsonl")
    thinking = data.model_copy(update={"sources": [data.sources[0].model_copy(update={"mode": "think"})]})
    with pytest.raises(UserError):
        run_filter(thinking, [], tmp_path / "out")
    before = {shard.name: shard.stat().st_mtime_ns for shard in (tmp_path / "out").glob("shards/*/[0-9]*/*")}

    with pytest.raises(UserError):
        run_filter(thinking, [], tmp_path / "out")

    after = {shard.name: shard.stat().st_mtime_ns for shard in (tmp_path / "out").glob("shards/*/[0-9]*/*")}
    assert before and after == before
