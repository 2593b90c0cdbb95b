"""The filters on public data that others wrote and labelled."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_filters.files import read_jsonl, write_jsonl
from data_filters.formats import parse_row
from data_filters.readers import read_rows
from data_filters.settings import Source, VerifySettings
from data_filters.verifiers import consistency, think_format
from data_filters.verify import verify, verify_files

DATA = Path(__file__).parents[2] / "../shared/data"

pytestmark = pytest.mark.real_data


def real(name: str) -> Path:
    if not (DATA / name).is_file():
        pytest.skip(f"no real data at {DATA / name}")
    return DATA / name


def labelled_rows(packed: Path) -> list[tuple[dict[str, Any], bool]]:
    """Two models' solutions of each problem as rows with an answer, and whether people call them correct."""
    rows = []
    for number, found in enumerate(read_jsonl(packed)):
        gold = found["ground_truth"].rsplit("A:", 1)[1].strip()
        for model in ("6b_finetuning", "6b_verification"):
            turns = [
                {"role": "user", "content": found["question"]},
                {"role": "assistant", "content": found[model]["solution"]},
            ]
            row = {"id": f"{model}/{number}", "source": "gsm8k", "messages": turns, "answer": gold}
            rows.append((row, found[model]["is_correct"]))
    return rows


def test_verifying_the_labelled_gsm8k_solutions_agrees_with_every_label(tmp_path: Path) -> None:
    rows = labelled_rows(real("math/gsm8k_labelled_solutions_6b.jsonl.gz"))
    assert len(rows) == 2638
    write_jsonl(tmp_path / "rows.jsonl", (row for row, _ in rows))

    figures = verify_files([tmp_path / "rows.jsonl"], tmp_path / "out", workers=2)

    outcomes = {found["id"]: found["outcome"] for found in read_jsonl(tmp_path / "out" / "verdicts.jsonl")}
    disagreeing = [row["id"] for row, label in rows if (outcomes[row["id"]] == "verified") != label]
    assert disagreeing == []
    assert figures.kept == sum(label for _, label in rows)
    assert not figures.sources["rows.jsonl"].failed


def test_at_most_one_in_two_hundred_true_gsm8k_solutions_is_rejected() -> None:
    source = Source(name="gsm8k", path=str(real("math/gsm8k_train.jsonl")))
    samples = [parse_row(row, source, number) for number, row in read_rows(source)]
    assert len(samples) == 7473

    reasons = Counter(verify(sample, VerifySettings()).reason for sample in samples)
    inconsistent = sum(
        consistency.check(sample.answer.reasoning or "", sample.answer.content).outcome != "verified"
        for sample in samples
    )

    assert reasons["math_correct_exact"] >= 0.995 * len(samples)
    assert inconsistent <= 0.005 * len(samples)
    assert all(think_format.check(sample, VerifySettings().think).outcome == "verified" for sample in samples)


def test_every_math500_solution_is_verified_against_its_answer() -> None:
    source = Source(name="math500", path=str(real("math/math500.jsonl")), format="r1", task="math")

    verdicts = [verify(parse_row(row, source, number), VerifySettings()) for number, row in read_rows(source)]

    assert Counter(verdict.outcome.value for verdict in verdicts) == {"verified": 500}


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("chat/alpaca_demo.json", 999),
        ("chat/sharegpt_demo.json", 400),
        ("tools/glaive_sharegpt_tools.json", 300),
        ("math/gsm8k_test.jsonl", 1319),
        ("math/math500.jsonl", 500),
    ],
)
def test_published_rows_are_read_as_samples(name: str, least: int) -> None:
    source = Source(name="rows", path=str(real(name)))
    read = 0
    for number, row in read_rows(source):
        sample = parse_row(row, source, number)
        assert sample.answer.role == "assistant"
        read += 1

    assert read >= least
