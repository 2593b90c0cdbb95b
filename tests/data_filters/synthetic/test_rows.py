import pytest

from data_filters.errors import UserError
from data_filters.formats import parse_row
from data_filters.samples import Outcome
from data_filters.settings import Source, VerifySettings
from data_filters.synthetic import KINDS, rows
from data_filters.verify import verify

SETTINGS = VerifySettings()


def verdicts(kind, mode, faults, count=60):
    source = Source(name=kind, synthetic=kind, rows=count)
    for number, row in enumerate(rows(kind, count, 3, mode, faults)):
        yield row, verify(parse_row(row, source, number), SETTINGS)


@pytest.mark.parametrize("mode", ["think", "direct"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_row_without_a_fault_is_verified(kind, mode):
    for row, verdict in verdicts(kind, mode, faults=0.0):
        assert verdict.outcome is Outcome.VERIFIED, (row, verdict)


@pytest.mark.parametrize("mode", ["think", "direct"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_planted_fault_but_a_duplicate_is_a_fault_that_checks_can_see(kind, mode):
    planted = [pair for pair in verdicts(kind, mode, faults=0.5) if "fault" in pair[0]["meta"]]

    assert len(planted) > 10
    for row, verdict in planted:
        expected = Outcome.VERIFIED if row["meta"]["fault"] == "duplicate" else Outcome.REFUTED
        assert verdict.outcome is expected, (row, verdict)


def test_the_share_of_faults_is_about_what_was_asked():
    made = list(rows("sums", 2000, 0, "think", 0.3))

    assert abs(sum("fault" in row["meta"] for row in made) / len(made) - 0.3) < 0.03


def test_equal_arguments_give_equal_rows_and_another_seed_gives_others():
    assert list(rows("legs", 20, 1, "think", 0.2)) == list(rows("legs", 20, 1, "think", 0.2))
    assert list(rows("legs", 20, 1, "think", 0.2)) != list(rows("legs", 20, 2, "think", 0.2))


def test_an_unknown_kind_is_answered_with_the_kinds():
    with pytest.raises(
        UserError, match="unknown kind of synthetic rows 'chess'; the kinds are constraints, legs"
    ):
        next(rows("chess", 1, 0, None, 0.0))
