"""The smallest recipe, from rows to an exported model."""

import json
import shutil

import msgspec
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_filters.duplicates import prompt_digest
from data_filters.files import read_jsonl
from data_filters.samples import Mode, Sample
from hermes_train.chat.template import CONTROL_TAGS
from hermes_train.training.watch.metrics import read_metrics

pytestmark = pytest.mark.long


def figures(run, stage):
    return json.loads((run / stage / "manifest.json").read_text())["figures"]


def test_the_whole_of_the_smoke_recipe_takes_less_than_ninety_seconds(finished_run):
    assert float((finished_run.parent / "seconds.txt").read_text()) < 90


def test_every_row_is_kept_or_rejected(finished_run):
    read = sum(source["read"] for source in figures(finished_run, "filter")["sources"].values())
    kept = list(read_jsonl(finished_run / "filter" / "kept.jsonl"))
    rejected = list(read_jsonl(finished_run / "filter" / "rejected.jsonl"))

    assert read == 130 == len(kept) + len(rejected)


def test_every_planted_fault_is_caught(finished_run):
    for name, fault in figures(finished_run, "filter")["faults"].items():
        assert fault["caught"] == fault["planted"] > 0, name


def test_no_held_out_problem_is_in_training(finished_run):
    held_out = list(read_jsonl(finished_run / "filter" / "problems.jsonl"))
    kept = list(read_jsonl(finished_run / "filter" / "kept.jsonl"))

    def prompts(rows):
        return {prompt_digest(msgspec.convert(row, Sample).prompt) for row in rows}

    assert held_out
    assert prompts(held_out).isdisjoint(prompts(kept))


def test_the_number_of_packs_is_a_multiple_of_the_global_batch(finished_run):
    assert figures(finished_run, "pack")["packs"] % 2 == 0
    assert figures(finished_run, "pack")["hybrid"]["packs"] % 2 == 0


def test_length_control_says_what_became_of_each_prompt(finished_run):
    control = figures(finished_run, "hybrid")["length_control"]

    assert (
        control["prompts"] == 8 == sum(1 for _ in read_jsonl(finished_run / "samples" / "part-00000.jsonl"))
    )
    assert control["prompts"] == control["closed"] + control["used"] + sum(control["dropped"].values())


@pytest.mark.parametrize(("stage", "steps"), [("sft", 20), ("hybrid", 6), ("dpo", 6)])
def test_each_training_stage_has_a_line_of_figures_for_each_step(finished_run, stage, steps):
    lines = read_metrics(finished_run / stage / "metrics.jsonl")

    assert [line["step"] for line in lines] == list(range(1, steps + 1))
    for line in lines:
        assert {"loss", "lr", "grad_norm", "tokens", "label_tokens", "seconds"} <= line.keys()
        assert 0 < line["label_tokens"] < line["tokens"]
    assert not list((finished_run / stage).glob("checkpoint-*")), "a finished stage keeps its model only"


def test_preference_pairs_are_of_all_three_kinds(finished_run):
    assert set(figures(finished_run, "dpo")["pairs"]) == {"trace", "constraint", "refusal"}


def test_each_model_is_scored_in_both_modes(finished_run):
    for model in ("base", "sft", "hybrid", "dpo"):
        scores = json.loads((finished_run / "evaluate" / model / "scores.json").read_text())["modes"]
        assert set(scores) == {"think", "direct"}
        for mode in Mode:
            answers = list(read_jsonl(finished_run / "evaluate" / model / "answers.jsonl"))
            assert sum(row["mode"] == mode for row in answers) == scores[mode]["problems"] == 4


def test_the_exported_model_opens_with_plain_transformers_and_answers_in_both_modes(finished_run):
    folder = finished_run / "export" / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    trained = AutoModelForCausalLM.from_pretrained(finished_run / "dpo" / "model")

    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in trained.state_dict().items()}
    assert all(len(tokenizer(tag, add_special_tokens=False)["input_ids"]) == 1 for tag in CONTROL_TAGS)
    assert model.generation_config.eos_token_id[0] == tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    for thinking in (True, False):
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": "hi"}],
            thinking=thinking,
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        output = model.generate(**prompt, max_new_tokens=4)
        assert output.shape[1] > prompt["input_ids"].shape[1]
    assert [chat["mode"] for chat in figures(finished_run, "export")["chats"]] == ["think", "direct"]


def test_the_model_card_has_scores_funnel_and_recipe(finished_run):
    card = (finished_run / "export" / "model" / "README.md").read_text()

    assert card.startswith("---\nlicense: other\n")
    assert "| dpo | think | 4 |" in card
    assert "130 rows were read" in card
    assert "learning_rate:" in card


def test_weights_are_exported_in_shards_of_the_asked_size(finished_run, tmp_path, hermes_train, smoke):
    shutil.copytree(finished_run, tmp_path / "smoke")

    done = hermes_train("export", smoke, "--runs", tmp_path, "-o", "export.shard_size=100KB")

    assert done.returncode == 0, done.stderr
    folder = tmp_path / "smoke" / "export" / "model"
    shards = list(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert (folder / "model.safetensors.index.json").exists()
    AutoModelForCausalLM.from_pretrained(folder)


def test_an_adapter_is_merged_into_plain_weights(packed_runs, tmp_path, hermes_train, smoke):
    adapter = [
        *("-o", "sft.lora={rank: 4, alpha: 8}"),
        *("-o", "sft.precision=fp32"),
        *("-o", "model.dtype=float32"),
    ]
    shutil.copytree(packed_runs, tmp_path / "1")
    done = hermes_train("run", smoke, "--until", "pack", "--runs", tmp_path / "1", *adapter)
    assert done.returncode == 0, done.stderr
    shutil.copytree(tmp_path / "1", tmp_path / "2")
    for ranks in (1, 2):
        done = hermes_train("sft", smoke, "--runs", tmp_path / str(ranks), *adapter, ranks=ranks)
        assert done.returncode == 0, done.stdout + done.stderr
    runs = [tmp_path / str(ranks) / "smoke" for ranks in (1, 2)]

    base = AutoModelForCausalLM.from_pretrained(runs[0] / "prepare" / "model").state_dict()
    one, two = (AutoModelForCausalLM.from_pretrained(run / "sft" / "model").state_dict() for run in runs)

    moved = {name for name in base if not base[name].equal(one[name])}
    assert moved == {name for name in base if "proj" in name}
    for name in base:
        assert (one[name] - two[name]).abs().max() < 1e-4, name


def test_a_wandb_run_keeps_its_id_when_the_stage_goes_on(runs, hermes_train, smoke):
    offline = ["-o", "tracking.wandb.mode=offline"]
    done = hermes_train("sft", smoke, "--runs", runs, *offline)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = runs / "smoke" / "sft"
    identity = (folder / "wandb_id.txt").read_text()
    # As after a kill before the manifest was written.
    (folder / "manifest.json").unlink()

    done = hermes_train("sft", smoke, "--runs", runs, *offline)

    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "wandb_id.txt").read_text() == identity
    runs_on_disk = list((folder / "wandb").glob("offline-run-*"))
    assert len(runs_on_disk) == 2
    assert all(path.name.endswith(identity) for path in runs_on_disk)


@pytest.mark.real_data
def test_gsm8k_goes_from_rows_to_an_exported_model(shared_data, tmp_path, hermes_train):
    train, test = shared_data / "math" / "gsm8k_train.jsonl", shared_data / "math" / "gsm8k_test.jsonl"
    settings = {
        "data.sources.gsm8k.path": train,
        "data.sources.gsm8k-direct.path": train,
        "evaluate.problems.gsm8k-test.path": test,
        "evaluate.problems.gsm8k-test.rows": 4,
        "evaluate.max_new_tokens.think": 16,
        "evaluate.max_new_tokens.direct": 8,
        # Random weights: what is tested is the way, not what SmolLM2 learns on it.
        "model.base": "null",
        "model.random": "{}",
        "model.template": "llama3",
        "pack.length": 2048,
        "sft.steps": 6,
        "hybrid.steps": 4,
        "dpo.steps": 3,
        "dpo.max_length": 2048,
    }
    overrides = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]

    done = hermes_train("run", "recipes/gsm8k.yaml", "--runs", tmp_path, *overrides)

    assert done.returncode == 0, done.stdout + done.stderr
    funnel = figures(tmp_path / "gsm8k", "filter")["sources"]["gsm8k"]
    assert funnel["read"] == 600
    assert funnel["kept"] >= 590
    assert (tmp_path / "gsm8k" / "export" / "model" / "README.md").exists()
