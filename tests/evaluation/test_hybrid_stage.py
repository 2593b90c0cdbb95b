"""The hybrid stage before it trains: thoughts sampled in parts that a kill does not lose, and packs put together."""

import dataclasses
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from data_filters.files import write_jsonl
from data_filters.samples import Message, Sample
from data_filters.segments import plan_file
from hermes_train.packing.hybrid import (
    ThoughtsTask,
    draw_rows,
    find_thoughts,
    hybrid_tasks,
    make_hybrid_shard,
    plan_hybrid,
)
from hermes_train.packing.rows import MakerPlan
from hermes_train.packing.shards import write_shard
from hermes_train.packing.store import PackIndex, TokenStore
from hermes_train.recipe.schema import PackSection
from hermes_train.recipe.training_sections import HybridSection, LengthControl
from hermes_train.stages.hybrid import (
    HybridInputs,
    length_control_lines,
    make_hybrid_packs,
    read_sampled,
    sample_thoughts,
)

BUDGET, PAIRED = 12, 6
QUESTIONS = {"hard": ("long", "rambles", "silent"), "easy": ("short",)}


def section(**control):
    length_control = LengthControl(
        **(
            {"budget": BUDGET, "share": 0.2, "answer_tokens": 8, "temperature": 0.1, "batch_size": 2}
            | control
        )
    )
    return HybridSection(
        steps=1, learning_rate=1e-3, global_batch=1, problems=PAIRED, length_control=length_control
    )


def kept_rows():
    for number in range(12):
        for source, questions in QUESTIONS.items():
            question = questions[number % len(questions)]
            answer = Message("assistant", "cut", "ab ab")
            yield Sample(f"{source}/{number}", source, [Message("user", question), answer])


def prepare_documents(taught, folder, **control):
    """What the pack stage leaves for the hybrid stage, and the inputs that say where."""
    hybrid = section(**control)
    plan = MakerPlan(taught.folder, taught.section, PackSection(length=256), 0)
    write_jsonl(folder / "kept.jsonl", kept_rows())
    segments = plan_file(folder / "kept.jsonl", 1000, 10)
    found = [find_thoughts(ThoughtsTask(plan, segment, hybrid.length_control)) for segment in segments]
    wanted = plan_hybrid(PAIRED, hybrid.replay, hybrid.length_control.share)
    drawn = draw_rows(found, wanted, hybrid.length_control, 0)
    documents = folder / "documents"
    documents.mkdir()
    for task in hybrid_tasks(plan, segments, drawn, hybrid.length_control, documents, 256):
        make_hybrid_shard(task)
    return HybridInputs(documents, taught.folder, plan, hybrid, 256)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*.jsonl"))}


@pytest.fixture(scope="module")
def hard(taught, tmp_path_factory):
    """The stage's inputs with nine prompts of the hard source, and the samples of a run that nothing broke off."""
    folder = tmp_path_factory.mktemp("hard")
    inputs = prepare_documents(taught, folder, prompts=9, sources=["hard"])
    heard = []
    sample_thoughts(inputs, folder / "samples", lambda done, total: heard.append((done, total)))
    assert heard == [(number, 5) for number in range(1, 6)]
    return inputs, folder / "samples"


def test_every_prompt_is_used_or_counted_with_a_reason(hard, tmp_path):
    inputs, samples = hard
    sampled = list(read_sampled(samples))
    usable = sum(thought.sample is not None for thought in sampled)

    figures = make_hybrid_packs(inputs, PAIRED, samples, tmp_path / "packs")["length_control"]

    assert len(sampled) == figures["prompts"] == 9
    assert {thought.id.partition("/")[0] for thought in sampled} == {"hard"}
    assert figures["past_budget"] == 9
    assert figures["used"] == min(usable, figures["wanted"]) > 0
    assert figures["prompts"] == figures["closed"] + figures["used"] + sum(figures["dropped"].values())
    assert set(figures["dropped"]) <= {"answer_unfinished", "answer_empty", "beyond_share"}
    (line,) = length_control_lines(inputs.section, {"past_budget": 0, "length_control": figures})
    assert line.startswith("length control: 9 of 9 sampled thoughts passed 12 tokens; ")


def test_the_packs_hold_the_documents_of_the_pack_stage_and_those_of_length_control(hard, taught, tmp_path):
    inputs, samples = hard

    figures = make_hybrid_packs(inputs, PAIRED, samples, tmp_path / "packs")

    store, index = TokenStore(tmp_path / "packs"), PackIndex.load(tmp_path / "packs" / "index.npz")
    kinds = Counter(store.identity(number).partition("#")[2] for number in index.order)
    assert kinds == {"": PAIRED, "direct": PAIRED, "cut": figures["length_control_documents"]}
    assert sorted(index.order) == list(range(len(store)))
    for number in range(len(store)):
        if store.identity(number).endswith("#cut"):
            labelled = store.input_ids(number)[store.labels(number) >= 0]
            assert taught.maker.tokenizer.convert_ids_to_tokens(labelled) == ["</think>", taught.end]
    again = make_hybrid_packs(inputs, PAIRED, samples, tmp_path / "packs")
    assert again == figures, "a stage that goes on finds what it made"


def test_the_control_experiment_trains_the_same_rows_whole_and_says_so(hard, tmp_path):
    inputs, samples = hard
    whole = dataclasses.replace(inputs, section=section(trained="whole_thought"))

    make_hybrid_packs(inputs, PAIRED, samples, tmp_path / "close")
    figures = make_hybrid_packs(whole, PAIRED, samples, tmp_path / "whole")

    closed, trained = TokenStore(tmp_path / "close"), TokenStore(tmp_path / "whole")
    cut = [number for number in range(len(closed)) if closed.identity(number).endswith("#cut")]
    assert cut
    for number in cut:
        assert (closed.input_ids(number) == trained.input_ids(number)).all()
        assert closed.label_tokens()[number] == 2
        assert trained.label_tokens()[number] > BUDGET
    assert "control experiment" in length_control_lines(whole.section, figures)[0]


def test_a_replayed_thought_past_the_budget_gets_into_no_pack_and_is_counted(hard, taught, tmp_path):
    inputs, samples = hard
    documents = tmp_path / "documents"
    documents.mkdir()
    rows = [
        Sample(name, "s", [Message("user", "q"), Message("assistant", "a", "x" * letters)])
        for name, letters in (("short", BUDGET), ("long", BUDGET + 1))
    ]
    write_shard(documents, 0, (document for _, document in taught.maker.results(rows, "expand")))
    replayed = dataclasses.replace(inputs, documents=documents)

    figures = make_hybrid_packs(replayed, PAIRED, samples, tmp_path / "packs")

    store, index = TokenStore(tmp_path / "packs"), PackIndex.load(tmp_path / "packs" / "index.npz")
    seen = {store.identity(number) for number in index.order}
    assert "short" in seen and "long" not in seen
    assert figures["past_budget"] == 1
    assert "1 documents are left out" in length_control_lines(inputs.section, figures)[0]


def test_a_model_that_ends_its_thoughts_needs_no_length_control_and_the_stage_goes_on(taught, tmp_path):
    inputs = prepare_documents(taught, tmp_path, prompts=4, sources=["easy"])
    sample_thoughts(inputs, tmp_path / "samples")

    figures = make_hybrid_packs(inputs, PAIRED, tmp_path / "samples", tmp_path / "packs")

    assert (figures["length_control"]["closed"], figures["length_control_documents"]) == (4, 0)
    assert figures["documents"] == 2 * PAIRED
    (line,) = length_control_lines(inputs.section, figures)
    assert "the model needs none at this budget" in line


RANK = """
import pickle, sys
from pathlib import Path
from hermes_train.stages.hybrid import sample_thoughts
inputs, folder = pickle.loads(Path(sys.argv[1]).read_bytes())
sample_thoughts(inputs, folder)
"""


@pytest.mark.distributed
@pytest.mark.long
def test_each_rank_makes_its_own_parts_and_what_a_killed_one_left_is_not_made_again(hard, tmp_path):
    import pickle

    inputs, samples = hard
    (tmp_path / "job").write_bytes(pickle.dumps((inputs, tmp_path / "samples")))
    environment = os.environ | {"RANK": "1", "WORLD_SIZE": "2", "PYTHONPATH": str(Path(__file__).parents[2])}
    second = subprocess.Popen([sys.executable, "-c", RANK, str(tmp_path / "job")], env=environment)
    deadline = time.monotonic() + 120
    while len(contents(tmp_path / "samples")) < 2 and time.monotonic() < deadline:
        assert second.poll() is None, "it waits for the parts of the first rank"
        time.sleep(0.05)
    second.kill()
    second.wait()

    left = contents(tmp_path / "samples")
    assert set(left) == {"part-00001.jsonl", "part-00003.jsonl"}
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "samples").glob("part-*")}

    sample_thoughts(inputs, tmp_path / "samples")

    assert contents(tmp_path / "samples") == contents(samples)
    assert all(path.stat().st_mtime_ns == time_made for path, time_made in times.items())
