from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_train.report import notation

SPACE = notation.NARROW_SPACE


def test_what_is_unknown_is_a_dash_and_never_zero() -> None:
    writers = (
        notation.count,
        notation.compact,
        notation.decimal,
        notation.significant,
        notation.percent,
        notation.duration,
    )

    assert {write(None) for write in writers} == {notation.NOTHING}


@given(st.floats(0, 1, exclude_min=True, exclude_max=True), st.integers(0, 3))
def test_only_nothing_is_written_as_zero_and_only_all_as_hundred(share: float, places: int) -> None:
    written = notation.percent(share, places)

    assert written != notation.percent(0.0, places)
    assert written != notation.percent(1.0, places)


@pytest.mark.parametrize(
    ("share", "places", "written"),
    [
        (0.908333, 1, f"90.8{SPACE}%"),
        (1.0, 1, f"100.0{SPACE}%"),
        (0.99996, 2, f"99.99{SPACE}%"),
        (0.0, 1, f"0.0{SPACE}%"),
        (0.0001, 1, f"<{SPACE}0.1{SPACE}%"),
    ],
)
def test_a_share_is_written_in_percent(share: float, places: int, written: str) -> None:
    assert notation.percent(share, places) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.04, f"0.0{SPACE}s"),
        (9.96, f"10{SPACE}s"),
        (59.6, f"1{SPACE}min 00{SPACE}s"),
        (257, f"4{SPACE}min 17{SPACE}s"),
        (3 * 3600 + 5 * 60, f"3{SPACE}h 05{SPACE}min"),
        (52 * 3600, f"2{SPACE}d 4{SPACE}h"),
    ],
)
def test_a_time_is_written_in_its_two_largest_units(seconds: float, written: str) -> None:
    assert notation.duration(seconds) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0"), (2e-4, "2e-4"), (1.234e-5, "1.23e-5"), (0.231, "0.231"), (12.5, "12.5"), (1532.0, "1,532")],
)
def test_small_numbers_are_written_with_an_exponent_without_padding(value: float, written: str) -> None:
    assert notation.significant(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(9999, "9,999"), (134_588_736, f"135{SPACE}M"), (999_900, f"1{SPACE}M"), (4.05e11, f"405{SPACE}G")],
)
def test_large_numbers_are_written_with_a_unit(value: float, written: str) -> None:
    assert notation.compact(value) == written


@pytest.mark.parametrize(
    ("number", "written"),
    [(188, f"188{SPACE}B"), (1_421, f"1.42{SPACE}kB"), (999_999, f"1{SPACE}MB"), (8.1e11, f"810{SPACE}GB")],
)
def test_sizes_are_written_in_decimal_units(number: int, written: str) -> None:
    assert notation.size(number) == written


def test_there_is_no_share_of_nothing() -> None:
    assert notation.part_of(0, 0) is None
    assert notation.part_of(None, 3) is None
    assert notation.part_of(1, 4) == 0.25


def test_a_moment_names_its_time_zone() -> None:
    assert notation.moment(datetime(2026, 11, 2, 9, 5, tzinfo=UTC)) == "2 November 2026, 09:05 UTC"
