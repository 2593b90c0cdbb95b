"""`hermes-train plan`, as a user calls it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.console import Console

from data_filters.errors import UserError
from hermes_train.plan.base import BYTE_VOCABULARY, find_model
from hermes_train.plan.fit import all_fit, fewest_nodes, plan_stages, remedies
from hermes_train.plan.gpus import GIB, GPUS, Machines
from hermes_train.plan.plan import Plan, PlanRequest, make_plan
from hermes_train.plan.schedule import SECONDS_PER_HOUR, read_packed
from hermes_train.plan.stages import PATHS_OF_SHARED_PACKS, Fit
from hermes_train.plan.tables import plan_tables
from hermes_train.recipe.load import load_recipe
from hermes_train.recipe.schema import Attention, RandomModel
from hermes_train.runs import RunFolder
from hermes_train.training.compute.flops import peak_flops
from hermes_train.training.sequence_parallel import parallelism
from hermes_train.training.weights.bases import random_llama

RECIPES = Path(__file__).parents[2] / "recipes"
ALL_RECIPES = sorted(path.name for path in RECIPES.glob("*.yaml"))
NOWHERE = Path("no-such-folder")


def plan_of(recipe: str, *overrides: str, **asked: Any) -> Plan:
    asked = {"runs": NOWHERE} | asked
    return make_plan(PlanRequest(RECIPES / recipe, overrides, **asked))


def printed(plan: Plan) -> str:
    console = Console(width=160, record=True, file=sys.stderr)
    for part in plan_tables(plan):
        console.print(part)
    return console.export_text()


@pytest.mark.parametrize("recipe", ALL_RECIPES)
def test_every_recipe_fits_on_the_machines_that_it_names(recipe: str) -> None:
    plan = plan_of(recipe)

    assert plan.fits, [stage.verdict.reason for stage in plan.stages]
    assert [stage.shape.stage for stage in plan.stages] == ["sft", "hybrid", "dpo"]
    assert plan.fewest.nodes is not None
    assert plan.fewest.nodes <= plan.machines.nodes
    assert not plan.remedies


def test_no_number_of_h100_nodes_holds_the_405b_at_full_packs_and_the_plan_says_why() -> None:
    plan = plan_of("hermes4-405b.yaml", gpu="h100")

    assert not plan.fits
    assert plan.fewest.nodes is None
    assert "the largest part is activations" in plan.fewest.reason
    assert plan.stages[0].memory is not None
    assert plan.stages[0].memory.parts["activations"] > 68e9


@pytest.mark.parametrize(
    "overrides",
    [
        ("parallel.sequence_parallel=4", "dpo.activation_offload=true"),
        ("sft.activation_offload=true", "hybrid.activation_offload=true", "dpo.activation_offload=true"),
    ],
)
def test_sharing_packs_or_offloading_checkpoints_makes_the_405b_fit_on_h100(
    overrides: tuple[str, ...],
) -> None:
    plan = plan_of("hermes4-405b.yaml", gpu="h100")
    changed = plan_of("hermes4-405b.yaml", *overrides, gpu="h100")

    assert changed.fits
    kinds = {override.partition("=")[0] for remedy in plan.remedies for override in remedy.overrides}
    assert {override.partition("=")[0] for override in overrides} <= kinds


def test_every_remedy_that_is_offered_helps() -> None:
    plan = plan_of("hermes4-70b.yaml", nodes=2)

    assert not plan.fits
    assert plan.remedies
    for remedy in plan.remedies:
        changed = plan_of("hermes4-70b.yaml", *remedy.overrides, nodes=2)
        assert changed.fits == remedy.fits_here
        assert changed.fewest.nodes == remedy.fewest_nodes
        assert plan_of("hermes4-70b.yaml", *remedy.overrides, nodes=remedy.fewest_nodes).fits


def test_the_fewest_nodes_are_the_fewest() -> None:
    recipe = load_recipe(RECIPES / "hermes4-70b.yaml").recipe
    architecture = find_model(recipe.model, RunFolder(NOWHERE)).architecture
    machines = Machines(16, 8, GPUS["h100"])

    fewest = fewest_nodes(recipe, architecture, machines).nodes

    assert fewest is not None
    fits = [
        nodes
        for nodes in range(1, 17)
        if all_fit(plan_stages(recipe, architecture, replace(machines, nodes=nodes)))
    ]
    assert fits[0] == fewest


@pytest.mark.parametrize(
    ("overrides", "asked", "fit"),
    [
        ((), {"nodes": 5}, Fit.GLOBAL_BATCH),
        (("parallel.sequence_parallel=8",), {"nodes": 1, "gpus_per_node": 4}, Fit.RANKS),
        (("pack.length=262144",), {}, Fit.POSITIONS),
        (("sft.lora.quantize=nf4",), {}, Fit.QUANTISATION),
        (("parallel.sequence_parallel=4", "model.attention=flex_attention"), {}, Fit.ATTENTION),
        (("parallel.sequence_parallel=4", "sft.precision=fp32"), {}, Fit.ATTENTION),
        (("parallel.zero_stage=1",), {}, Fit.GRADIENT_SUMS),
    ],
)
def test_what_cannot_be_laid_out_is_told_by_a_slug_and_a_line(
    overrides: tuple[str, ...], asked: dict[str, int], fit: Fit
) -> None:
    plan = plan_of("hermes4-70b.yaml", *overrides, **asked)

    assert fit in plan.as_json()["reasons"]
    assert not plan.fits
    assert plan.stages[0].verdict.reason in " ".join(printed(plan).split())


def test_packs_are_shared_on_the_attention_paths_that_training_shares_them_on() -> None:
    for path in set(get_args(Attention)) - {"auto"}:
        if path in PATHS_OF_SHARED_PACKS:
            assert parallelism(2, 4, path) is not None
        else:
            with pytest.raises(UserError, match="see each other"):
                parallelism(2, 4, path)


@pytest.mark.parametrize("key", ["sequence_parallel", "hierarchical_partition"])
def test_one_gpu_alone_shares_nothing_and_so_refuses_nothing(key: str) -> None:
    alone = {"nodes": 1, "gpus_per_node": 1}
    plain, shared = (plan_of("smoke.yaml", *more, **alone) for more in ((), (f"parallel.{key}=4",)))

    assert [stage.verdict for stage in shared.stages] == [stage.verdict for stage in plain.stages]
    assert [stage.memory for stage in shared.stages] == [stage.memory for stage in plain.stages]


def test_thoughts_cannot_be_sampled_with_a_model_that_is_more_than_a_gpu_has() -> None:
    plan = plan_of("hermes4-70b.yaml", "hybrid.length_control.budget=8000")

    assert plan.as_json()["reasons"] == ["sampling"]
    assert "hybrid samples thoughts with the whole model on each GPU" in plan.fewest.reason
    assert ("hybrid.length_control.thoughts=kept",) in [remedy.overrides for remedy in plan.remedies]


def test_smaller_batches_of_thoughts_leave_room_for_the_model() -> None:
    plan = plan_of("hermes4-14b.yaml", "hybrid.length_control.batch_size=16")

    assert plan.as_json()["reasons"] == ["sampling"]
    assert [remedy.overrides for remedy in plan.remedies] == [("hybrid.length_control.batch_size=8",)]


@pytest.mark.parametrize(("gpu", "is_told"), [("h100", True), ("b200", False)])
def test_a_model_that_is_more_than_a_node_has_is_told_for_evaluation(gpu: str, is_told: bool) -> None:
    notes = plan_of("hermes4-405b.yaml", gpu=gpu).notes

    assert any("evaluation holds the whole model on one node" in note for note in notes) is is_told


def test_pairs_are_nothing_to_be_warned_of_where_packs_are_shared() -> None:
    assert (
        plan_of("hermes4-70b.yaml", "parallel.sequence_parallel=2").notes == plan_of("hermes4-70b.yaml").notes
    )


def test_shorter_packs_leave_room_for_a_cut_thought() -> None:
    recipe = load_recipe(RECIPES / "hermes4-14b.yaml").recipe
    architecture = find_model(recipe.model, RunFolder(NOWHERE)).architecture

    kinds = list(remedies(recipe, architecture, Machines(1, 8, GPUS["h100"])))

    shorter = [changes for kind in kinds for changes in kind if changes[0].startswith("pack.length=")]
    assert len(shorter) == 4
    for changes in shorter:
        assert load_recipe(RECIPES / "hermes4-14b.yaml", changes).recipe.hybrid.length == 32_768
    looser = load_recipe(RECIPES / "hermes4-14b.yaml", ["hybrid.length_control.budget=5000"]).recipe
    kinds = list(remedies(looser, architecture, Machines(1, 8, GPUS["h100"])))
    assert ("pack.length=4096", "hybrid.length=8192", "dpo.max_length=2048") in [c for k in kinds for c in k]


def test_hours_are_operations_over_what_the_gpus_do() -> None:
    plan = plan_of("llama3-8b.yaml", mfu=0.5)
    schedule = plan.schedules["sft"]

    assert schedule.tokens == 9000 * 384 * 16_384
    assert list(schedule.hours) == ["0.5"]
    assert schedule.hours["0.5"] * SECONDS_PER_HOUR * 8 * 989e12 * 0.5 == pytest.approx(schedule.flops)
    # 6 N a token for all weights but the embedding, and attention on top.
    weights = 6 * (8_030_261_248 - 128_256 * 4096) * schedule.tokens
    assert schedule.flops * (1 - schedule.attention_share) == pytest.approx(weights, rel=1e-4)


def test_adapters_take_two_thirds_of_the_operations_of_the_weights() -> None:
    full = plan_of("llama3-8b.yaml").schedules["sft"]
    adapters = plan_of("llama3-8b.yaml", "sft.lora.rank=16").schedules["sft"]

    def of_weights(flops: float, attention_share: float) -> float:
        return flops * (1 - attention_share)

    ratio = of_weights(adapters.flops, adapters.attention_share) / of_weights(
        full.flops, full.attention_share
    )
    assert ratio == pytest.approx(4 / 6, rel=1e-6)


def test_peaks_are_the_ones_that_training_is_measured_by() -> None:
    for gpu in GPUS.values():
        assert gpu.peak == peak_flops(f"NVIDIA {gpu.name}")


def test_a_packed_run_gives_passes_and_its_documents_lengths(packed_runs: Path) -> None:
    known = plan_of("smoke.yaml", runs=packed_runs)
    unknown = plan_of("smoke.yaml")
    packed = read_packed(RunFolder(packed_runs / "smoke"), "sft")

    assert packed is not None
    figures = json.loads((packed_runs / "smoke" / "pack" / "manifest.json").read_text())["figures"]
    assert packed.lengths.sum() == pytest.approx(figures["tokens"], rel=0.05)
    sft = known.schedules["sft"]
    assert sft.epochs == pytest.approx(20 * 2 * 512 * figures["fill"] / figures["tokens"])
    assert known.disk.tokens < unknown.disk.tokens
    assert sft.attention_share < unknown.schedules["sft"].attention_share
    assert unknown.schedules["sft"].epochs is None


@pytest.mark.parametrize("change", ["pack.length=256", "hybrid.length=1024"])
def test_packs_of_another_recipe_are_told_and_left_aside(
    packed_runs: Path, tmp_path: Path, change: str
) -> None:
    # Only what a plan reads: the manifests.
    for stage in ("prepare", "pack"):
        (tmp_path / "smoke" / stage).mkdir(parents=True)
        shutil.copy(packed_runs / "smoke" / stage / "manifest.json", tmp_path / "smoke" / stage)
    shutil.copytree(packed_runs / "smoke" / "prepare" / "model", tmp_path / "smoke" / "prepare" / "model")

    same, changed = plan_of("smoke.yaml", runs=tmp_path), plan_of("smoke.yaml", change, runs=tmp_path)

    key = change.partition("=")[0]
    assert not any("left aside" in note for note in same.notes)
    assert f"the run's packs were made with another {key}, and are left aside" in changed.notes
    assert changed.schedules["sft"].epochs is None
    assert same.schedules["sft"].epochs is not None


def test_a_prepared_run_tells_the_model_s_own_shape(packed_runs: Path) -> None:
    recipe = load_recipe(RECIPES / "smoke.yaml").recipe
    prepared = json.loads((packed_runs / "smoke" / "prepare" / "manifest.json").read_text())["figures"]

    model = find_model(recipe.model, RunFolder(packed_runs / "smoke"))

    assert model.source.startswith("prepared in")
    assert model.architecture.parameters == prepared["parameters"]
    changed = recipe.model.model_copy(update={"random": RandomModel(layers=3)})
    assert find_model(changed, RunFolder(packed_runs / "smoke")).architecture.layers == 3


def test_the_shape_of_random_weights_is_counted_as_they_are_made() -> None:
    shape = RandomModel(layers=2, tied_embeddings=True)
    recipe = load_recipe(RECIPES / "smoke.yaml").recipe
    model, tokenizer = random_llama(shape, seed=0)

    planned = find_model(recipe.model.model_copy(update={"random": shape}), RunFolder(NOWHERE))

    assert len(tokenizer) == BYTE_VOCABULARY
    assert planned.architecture.parameters == model.num_parameters()


def test_a_base_that_nobody_knows_is_told_in_one_line_with_what_to_do() -> None:
    with pytest.raises(UserError, match=r"give model\.base a folder") as refusal:
        plan_of("llama3-8b.yaml", "model.base=nobody/nothing-7B")

    assert "\n" not in str(refusal.value)


def test_an_unknown_gpu_is_told_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="a100, h100, h200, b200"):
        plan_of("llama3-8b.yaml", gpu="k80")


def test_the_disk_holds_kept_checkpoints_one_more_and_the_models() -> None:
    disk = plan_of("llama3-8b.yaml").disk

    assert disk.checkpoint["sft"] == 12 * 8_030_261_248
    assert disk.checkpoints == 3 * disk.checkpoint["sft"]
    assert disk.models == 5 * 2 * 8_030_261_248


def test_a_checkpoint_that_is_kept_for_its_held_out_loss_is_one_more() -> None:
    disk = plan_of("llama3-8b.yaml", "pack.held_out=0.01", "sft.keep_best=true").disk

    assert disk.checkpoints == 4 * disk.checkpoint["sft"]


def test_the_command_prints_json_without_loading_torch() -> None:
    script = (
        "import sys; sys.argv[1:] = ['plan', 'recipes/hermes4-405b.yaml', '--gpu', 'h100', '--json'];"
        "from hermes_train.cli import app; app(standalone_mode=False); assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=RECIPES.parent, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["fits"] is False
    assert plan["reasons"] == ["gpu_memory"]
    assert plan["model"]["parameters"] == 405_853_388_800
    assert plan["stages"][0]["memory"]["total"] > plan["machines"]["gpu"]["memory"] == 79 * GIB


def test_the_tables_speak_of_memory_time_disk_and_of_what_to_change() -> None:
    text = printed(plan_of("hermes4-405b.yaml", gpu="h100"))

    for said in (
        "does not fit",
        "405,853,388,800 parameters",
        "activations",
        "at 30%, 40%, 50% MFU",
        "a checkpoint of sft",
    ):
        assert said in text
    assert "-o parallel.sequence_parallel=" in text
