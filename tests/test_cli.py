"""The command line as a user meets it: fast, and one clear line for each mistake."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def processor_seconds(run):
    """What a command costs, start of the interpreter included; other work on the machine is not measured."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_answers_within_half_a_second(hermes_train):
    assert processor_seconds(lambda: hermes_train("--help")) < 0.5


def test_checking_the_70b_recipe_takes_less_than_a_second(hermes_train):
    assert processor_seconds(lambda: hermes_train("check", "recipes/hermes4-70b.yaml")) < 1


@pytest.mark.parametrize("arguments", [["--help"], ["check", "recipes/hermes4-70b.yaml"]])
def test_help_and_check_import_nothing_heavy(arguments):
    program = (
        "import sys\n"
        "from hermes_train.cli import main\n"
        f"sys.argv = ['hermes-train', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'datatrove', 'trl', 'deepspeed', 'pyarrow', 'numpy'}\n"
        "print('imported:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "imported: []"


def small_recipe(tmp_path, **data):
    """A copy of the smoke recipe whose only source is a file."""
    path = tmp_path / "mine.yaml"
    recipe = {
        "extends": str(ROOT / "recipes" / "smoke.yaml"),
        "name": "mine",
        "data": {"sources": [{"name": "rows", "format": "openai"} | data]},
    }
    path.write_text(yaml.safe_dump(recipe))
    return path


ROW = {
    "messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "\\boxed{4}"}],
    "task": {"kind": "math", "answer": "4"},
}


def refused(done, message):
    """One clear line on stderr, code 2, no traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr


def test_an_unknown_key_is_named_with_its_file_line_and_nearest_key(tmp_path, hermes_train):
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: {ROOT}/recipes/smoke.yaml\nname: mine\nsft:\n  learning_rat: 1.0e-3\n")

    done = hermes_train("check", path)

    refused(done, f"{path}:4: unknown key sft.learning_rat; did you mean learning_rate?")


def test_an_unknown_stage_is_answered_with_the_stages(hermes_train, smoke, tmp_path):
    done = hermes_train("run", smoke, "--until", "train", "--runs", tmp_path)

    refused(done, "--until train: there is no such stage; the stages are prepare, filter, pack, sft")


def test_a_missing_recipe_is_named(hermes_train, tmp_path):
    refused(hermes_train("run", tmp_path / "none.yaml"), "none.yaml")


def test_a_missing_source_file_stops_the_run_before_anything_is_made(hermes_train, tmp_path):
    recipe = small_recipe(tmp_path, path=str(tmp_path / "gone.jsonl"))

    done = hermes_train("run", recipe, "--runs", tmp_path / "runs")

    refused(done, "gone.jsonl")
    assert not (tmp_path / "runs" / "mine" / "prepare").exists()


def test_an_empty_source_is_named(hermes_train, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    recipe = small_recipe(tmp_path, path=str(tmp_path / "empty.jsonl"))

    done = hermes_train("filter", recipe, "--runs", tmp_path / "runs")

    refused(done, "has no rows")
    assert not (tmp_path / "runs" / "mine" / "filter" / "kept.jsonl").exists()


def test_rows_that_cannot_be_read_are_counted_rejections(hermes_train, tmp_path):
    no_answer = {"messages": [{"role": "user", "content": "hello?"}]}
    lines = [json.dumps(ROW), '{"messages": [', json.dumps(no_answer)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    recipe = small_recipe(tmp_path, path=str(tmp_path / "rows.jsonl"))

    done = hermes_train("filter", recipe, "--runs", tmp_path / "runs")

    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "runs" / "mine" / "filter" / "manifest.json").read_text())
    funnel = manifest["figures"]["sources"]["rows"]
    assert (funnel["read"], funnel["kept"]) == (3, 1)
    assert sum(funnel["rejected"].values()) == 2
    assert {"no_assistant_turn"} < set(funnel["rejected"])


def test_a_mode_that_no_row_has_is_named_with_the_source(hermes_train, tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    recipe = small_recipe(tmp_path, path=str(tmp_path / "rows.jsonl"), mode="think")

    done = hermes_train("filter", recipe, "--runs", tmp_path / "runs")

    refused(done, "think")
    assert not (tmp_path / "runs" / "mine" / "filter" / "manifest.json").exists()


def test_the_run_folder_of_another_recipe_is_refused(hermes_train, tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    first = small_recipe(tmp_path, path=str(tmp_path / "rows.jsonl"))
    other = first.rename(tmp_path / "other.yaml")
    hermes_train("filter", other, "--runs", tmp_path / "runs")
    again = small_recipe(tmp_path, path=str(tmp_path / "rows.jsonl"))

    done = hermes_train("filter", again, "--runs", tmp_path / "runs")

    refused(done, "holds the run of the recipe other.yaml")


def test_a_stage_whose_forerunners_are_not_done_says_what_to_run(hermes_train, smoke, tmp_path):
    done = hermes_train("sft", smoke, "--runs", tmp_path, "-o", "sft.steps=9")

    refused(
        done,
        "sft builds on prepare, which is not made yet; run "
        f"`hermes-train run {smoke} --runs {tmp_path} -o sft.steps=9 --until prepare` first",
    )


def test_a_global_batch_that_the_ranks_do_not_divide_is_refused_with_all_numbers(hermes_train, smoke, runs):
    done = hermes_train("sft", smoke, "--runs", runs, "-o", "sft.micro_batch=2", ranks=2)

    assert done.returncode != 0
    assert "global_batch (2) must be a multiple of micro_batch x ranks (2 x 2 = 4)" in done.stderr


def test_verify_writes_a_verdict_for_every_row_and_prints_the_funnel(hermes_train, tmp_path):
    wrong = ROW | {"messages": [ROW["messages"][0], {"role": "assistant", "content": "\\boxed{5}"}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n" + json.dumps(wrong) + "\n")

    done = hermes_train("verify", tmp_path / "rows.jsonl", "--out", tmp_path / "out")

    assert done.returncode == 0, done.stderr
    assert "1 of 2 rows kept" in done.stdout
    assert "math_wrong_answer" in done.stdout
    verdicts = (tmp_path / "out" / "verdicts.jsonl").read_text().splitlines()
    assert [json.loads(line)["outcome"] for line in verdicts] == ["verified", "refuted"]


def test_verify_judges_as_a_recipe_says(hermes_train, smoke, tmp_path):
    chat = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(chat) + "\n")
    command = ("verify", tmp_path / "rows.jsonl", "--out", tmp_path / "out")

    kept = hermes_train(*command)
    dropped = hermes_train(*command, "--recipe", smoke, "-o", "data.verify.unverified.direct=drop")

    assert "1 of 1 rows kept" in kept.stdout
    assert "0 of 1 rows kept" in dropped.stdout
    refused(hermes_train(*command, "-o", "data.verify.unverified.direct=drop"), "--recipe")


def test_verify_refuses_a_folder_with_other_files(hermes_train, tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear")

    done = hermes_train("verify", tmp_path / "rows.jsonl", "--out", tmp_path / "out")

    refused(done, "letter.txt")
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["letter.txt"]


def test_a_disk_without_room_ends_in_one_clear_line_and_leaves_no_half_written_file(tmp_path):
    (tmp_path / "rows.jsonl").write_text((json.dumps(ROW) + "\n") * 2000)
    recipe = small_recipe(tmp_path, path=str(tmp_path / "rows.jsonl"))
    # The largest file may have 64 KiB: writing the kept rows fails as it does on a full disk.
    limited = 'ulimit -f 64; exec "$@"'
    command = [sys.executable, "-m", "hermes_train", "filter", str(recipe), "--runs", str(tmp_path / "runs")]

    done = subprocess.run(["bash", "-c", limited, "bash", *command], capture_output=True, text=True, cwd=ROOT)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "File too large; nothing that was finished is lost" in done.stderr.splitlines()[-1]
    folder = tmp_path / "runs" / "mine" / "filter"
    assert not (folder / "kept.jsonl").exists()
    assert not (folder / "manifest.json").exists()
