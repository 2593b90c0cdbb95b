import dataclasses
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.figures import FaultFigures, FilterFigures, SourceFunnel
from data_filters.samples import Mode, Outcome
from hermes_train.evaluation.scores import ModeScore
from hermes_train.report.load import Progress, Run, load_run
from hermes_train.report.records import ExportFigures
from hermes_train.report.views.answers import ThoughtEnd, answers_view, shortened, take_apart
from hermes_train.report.views.export import export_view
from hermes_train.report.views.funnel import funnel_view
from hermes_train.report.views.overview import overview
from hermes_train.report.views.packs import packs_view
from hermes_train.report.views.scores import scores_view
from hermes_train.report.views.training import MOST_TABLE_ROWS, training_views


@pytest.fixture
def run(run_folder: Path) -> Run:
    return load_run(run_folder)


def test_the_head_sets_the_newest_model_against_the_base(run: Run) -> None:
    thinking = overview(run).headlines[0]

    assert thinking.name == "Right when thinking"
    assert thinking.value.startswith("90.8")
    assert thinking.before.startswith("3.3")
    assert thinking.note == "dpo, think"


def test_the_head_compares_nothing_while_only_the_base_is_evaluated(run: Run) -> None:
    early = dataclasses.replace(run, scores={"base": run.scores["base"]})

    thinking = overview(early).headlines[0]

    assert thinking.before == ""
    assert thinking.note == "base, think"


def test_the_times_of_the_stages_add_up(run: Run) -> None:
    assert overview(run).total_time == "13\u202fmin 06\u202fs"
    # Four models at 22 s each are what evaluate took, whatever its own manifest says.
    assert overview(run).stages[6].took == "1\u202fmin 28\u202fs"
    assert [stage.name for stage in overview(run).stages][:3] == ["prepare", "filter", "pack"]


def with_interval(score: ModeScore, low: float, high: float) -> ModeScore:
    return msgspec.structs.replace(score, low=low, high=high)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ((0.5, 0.6), "intervals lie apart"),
        ((0.15, 0.6), "proves no difference"),
        ((0.0, 0.05), "a loss"),
    ],
)
def test_the_finding_says_whether_the_intervals_bear_it_out(
    run: Run, last: tuple[float, float], said: str
) -> None:
    base, final = run.scores["base"], run.scores["dpo"]
    scores = {
        "base": msgspec.structs.replace(
            base, modes={Mode.THINK: with_interval(base.modes[Mode.THINK], 0.1, 0.2)}
        ),
        "dpo": msgspec.structs.replace(
            final, modes={Mode.THINK: with_interval(final.modes[Mode.THINK], *last)}
        ),
    }

    (finding,) = scores_view(scores).findings

    assert said in finding


def test_a_kind_that_one_model_was_not_asked_is_a_dash_and_has_no_heat(run: Run) -> None:
    base = run.scores["base"].modes[Mode.THINK]
    kinds = {kind: score for kind, score in base.kinds.items() if kind != "legs"}
    scores = dict(run.scores)
    scores["base"] = msgspec.structs.replace(
        scores["base"], modes={Mode.THINK: msgspec.structs.replace(base, kinds=kinds)}
    )

    legs = next(row for row in scores_view(scores).heat_rows if row.kind == "legs")

    assert (legs.cells[0].value, legs.cells[0].heat) == ("\u2014", None)
    assert legs.cells[3].told == "dpo, think: 22 of 24"


@pytest.mark.parametrize(
    ("text", "thought", "answer", "end"),
    [
        ("<think>\n1 + 1 = 2\n</think>\n\nIt is 2.", "1 + 1 = 2", "It is 2.", ThoughtEnd.CLOSED),
        ("1 + 1 = 2</think>It is 2.", "1 + 1 = 2", "It is 2.", ThoughtEnd.CLOSED),
        ("<think>on and on", "on and on", "", ThoughtEnd.NOT_CLOSED),
        ("It is 2.", "", "It is 2.", ThoughtEnd.NO_THOUGHT),
        ("", "", "", ThoughtEnd.NO_THOUGHT),
    ],
)
def test_a_text_is_taken_apart_at_its_think_tags(
    text: str, thought: str, answer: str, end: ThoughtEnd
) -> None:
    written = take_apart(text)

    assert (written.thought, written.answer, written.thought_end) == (thought, answer, end)


def test_a_long_text_is_cut_and_says_how_much_is_missing() -> None:
    assert shortened("x" * 3000) == "x" * 3000
    assert shortened("x" * 4234).endswith("\u2026 [1,234 more characters]")


def test_the_first_problem_of_each_kind_is_shown_in_both_modes(run: Run) -> None:
    view = answers_view(run.answers)

    assert view.models == ("base", "dpo")
    assert [problem.kind for problem in view.problems] == ["sums", "legs", "constraints", "records"]
    (base, final), (_, at_once) = view.problems[0].rows
    assert (base.outcome, base.reason) == (Outcome.REFUTED, "think_unclosed")
    assert (final.outcome, final.mode) == (Outcome.VERIFIED, Mode.THINK)
    assert at_once.mode is Mode.DIRECT


def test_an_answer_that_was_never_asked_for_is_told_from_an_empty_one(run: Run) -> None:
    only_thinking = tuple(answer for answer in run.answers["base"] if answer.mode is Mode.THINK)

    view = answers_view({**run.answers, "base": only_thinking})

    assert view.problems[0].rows[1][0].written is None


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.tuples(st.integers(0, 500), st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(1, 90))),
        max_size=5,
    )
)
def test_the_funnel_accounts_for_every_row(counts: dict[str, tuple[int, dict[str, int]]]) -> None:
    sources = {
        name: SourceFunnel(read=kept + sum(rejected.values()), kept=kept, rejected=rejected)
        for name, (kept, rejected) in counts.items()
    }

    view = funnel_view(FilterFigures(sources=sources))

    read = sum(source.read for source in sources.values())
    assert int(view.total.read.replace(",", "")) == read
    told = sum(int(reason.total.replace(",", "")) for reason in view.reasons)
    assert told + int(view.total.kept.replace(",", "")) == read


def test_the_commonest_reason_comes_first_and_rare_ones_share_a_colour(run: Run) -> None:
    assert run.filter is not None

    reasons = funnel_view(run.filter).reasons

    assert (reasons[0].name, reasons[0].tone) == ("think_unclosed", "reason-0")
    assert [reason.tone for reason in reasons[8:]] == ["reason-8"] * 3


def test_a_missed_fault_is_shown_as_missed() -> None:
    faults = {"wrong_step": FaultFigures(planted=40, caught=39, caught_by={"thought_wrong_step": 39})}

    (fault,) = funnel_view(FilterFigures(faults=faults)).faults

    assert (fault.missed, fault.share) == (1, "97.5\u202f%")
    assert "missed: 1" in fault.bar


@pytest.mark.parametrize(("alarms", "said"), [(0, "none were"), (1, "1 was"), (12, "12 were")])
def test_false_alarms_are_told(alarms: int, said: str) -> None:
    faults = FilterFigures(clean_read=1443, clean_rejected={"contaminated_exact": alarms})

    assert f"Of 1,443 rows made without a fault, {said} rejected." in funnel_view(faults).findings


def test_checks_that_broke_are_counted_apart() -> None:
    source = SourceFunnel(read=9, kept=7, rejected={"math_timeout": 2}, failed={"math_timeout": 2})

    findings = funnel_view(FilterFigures(sources={"s": source})).findings

    assert findings[1] == "For 2 of them the check itself broke, which says nothing about the row."


def test_the_packs_section_states_fill_and_shares(run: Run) -> None:
    assert run.pack is not None

    view = packs_view(run.pack)

    assert view.facts[0].value == "99.99\u202f%"
    assert [meter.name for meter in view.meters] == [
        "Tokens by mode",
        "Room of the packs",
        "Tokens trained on",
    ]
    assert view.meters[0].shares[0][:3] == ("think", "think", "85.3\u202f%")
    assert view.sources[-1].dropped == "too_long 2"


def test_only_preference_training_has_reward_curves(run: Run) -> None:
    sft, _, dpo = training_views(run)

    assert [panel.name for panel in sft.panels] == [
        "Loss",
        "Learning rate",
        "Gradient norm",
        "Tokens per second",
    ]
    assert [panel.name for panel in dpo.panels][4:] == ["Reward margin", "Chosen over rejected"]
    assert len(sft.table) == MOST_TABLE_ROWS
    assert (sft.table[0][0], sft.table[-1][0]) == ("1", "120")


def test_the_loss_of_held_out_documents_is_drawn_beside_that_of_the_steps(run: Run) -> None:
    steps = tuple(
        msgspec.structs.replace(step, held_out_loss=3.0 - step.step / 60) if step.step % 40 == 0 else step
        for step in run.metrics["sft"]
    )
    figures = msgspec.structs.replace(
        run.training["sft"], model_step=80, held_out_loss=1.2345, last_held_out_loss=1.3
    )

    sft, *_ = training_views(
        dataclasses.replace(
            run,
            metrics={**run.metrics, "sft": steps},
            training={**run.training, "sft": figures},
        )
    )

    loss, rate, *_ = sft.panels
    assert loss.name == "Loss (dots: held-out documents)"
    assert "of held-out documents from 2.33 to 1" in loss.chart
    assert loss.chart.count("point beside") == 3
    assert "step 80: 1.67" in loss.chart
    assert "beside" not in rate.chart
    facts = {fact.name: fact.value for fact in sft.facts}
    assert (facts["Held-out loss"], facts["Model of step"]) == ("1.2345", "80")
    assert facts["Held-out loss of the last step"] == "1.3000"


def test_documents_that_are_held_out_are_among_those_left_out(run: Run) -> None:
    assert run.pack is not None
    source = msgspec.structs.replace(run.pack.sources[-1], held_out=5)

    view = packs_view(msgspec.structs.replace(run.pack, sources=[source]))

    assert view.sources[0].dropped == "too_long 2, held out 5"


def test_a_stage_under_way_shows_its_steps_so_far(run: Run) -> None:
    broken_off = dataclasses.replace(
        run,
        progress={**run.progress, "dpo": Progress.STARTED},
        training={name: figures for name, figures in run.training.items() if name != "dpo"},
    )

    *_, dpo = training_views(broken_off)

    assert dpo.progress is Progress.STARTED
    assert (dpo.facts[0].name, dpo.facts[0].value) == ("Steps so far", "40")


def test_the_export_section_says_what_was_compared() -> None:
    view = export_view(ExportFigures(files=[], tensors=272, parameters=134_588_736))

    assert "all 272 tensors" in view.finding
    assert "135\u202fM parameters" in view.finding
