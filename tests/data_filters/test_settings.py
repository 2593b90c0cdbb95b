"""What the recipe's data section accepts."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from data_filters.settings import DataSettings, Source


def test_a_source_comes_from_exactly_one_place() -> None:
    with pytest.raises(ValidationError, match="exactly one of path, hub, synthetic; it has path and hub"):
        Source(name="two", path="a.jsonl", hub="org/set")
    with pytest.raises(ValidationError, match="it has none"):
        Source(name="none")


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="workerz"):
        DataSettings.model_validate({"sources": [{"name": "a", "path": "a"}], "workerz": 3})


def test_two_sources_of_one_name_are_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="used twice: a"):
        DataSettings(sources=[Source(name="a", path="x"), Source(name="a", path="y")])


def test_faults_need_a_program_that_plants_them() -> None:
    with pytest.raises(ValidationError, match=r"faults = 0\.2 needs a synthetic source"):
        Source(name="a", path="x", faults=0.2)


def test_a_program_needs_a_number_of_rows() -> None:
    with pytest.raises(ValidationError, match="needs rows"):
        Source(name="a", synthetic="sums")


def test_thoughts_are_only_stripped_for_direct_mode() -> None:
    with pytest.raises(ValidationError, match="needs mode: direct; mode is think"):
        Source(name="a", path="x", mode="think", strip_reasoning=True)


def test_shares_must_leave_something_for_a_source_without_one() -> None:
    with pytest.raises(ValidationError, match="add up to 1 and leave nothing for c, without a share"):
        sources_with(a=0.6, b=0.4, c=None)
    sources_with(a=0.6, b=0.3, c=None)


def test_shares_of_all_sources_add_up_to_one() -> None:
    with pytest.raises(ValidationError, match=r"all sources have a share, and the shares add up to 0\.9"):
        sources_with(a=0.6, b=0.3)
    sources_with(a=0.7, b=0.2, c=0.1)


def sources_with(**shares: float | None) -> DataSettings:
    return DataSettings(sources=[Source(name=name, path=name, share=share) for name, share in shares.items()])


def test_settings_do_not_change_after_loading() -> None:
    source = Source(name="a", path="x")

    with pytest.raises(ValidationError, match="frozen"):
        source.name = "b"


def test_settings_and_samples_import_nothing_heavy() -> None:
    program = (
        "import sys, data_filters.settings, data_filters.samples\n"
        "import data_filters.verify, data_filters.pipeline\n"
        "heavy = {'torch', 'datatrove', 'sympy', 'math_verify', 'reasoning_gym', 'pyarrow', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
