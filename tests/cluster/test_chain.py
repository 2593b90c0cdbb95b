"""Which jobs a run becomes, and with which options."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from data_filters.errors import UserError
from hermes_train.cluster.chain import Job, RunOnSlurm, chain_jobs, script
from hermes_train.cluster.chain_record import Chain, SubmittedJob, read_chain, write_chain
from hermes_train.cluster.environment import ClusterEnvironment, read_environment
from hermes_train.cluster.launching import LaunchRequest, prepare_launch
from hermes_train.recipe.load import load_recipe
from hermes_train.runs import STAGES, StageState, Standing

RECIPES = Path(__file__).parents[2] / "recipes"
SHELLCHECK = Path(sys.executable).with_name("shellcheck")
MISSING = dict.fromkeys(STAGES, Standing(StageState.MISSING))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> ClusterEnvironment:
    """The settings as they are in launch/cluster.env."""
    monkeypatch.delenv("HERMES_CLUSTER_ENV", raising=False)
    return read_environment()


def run_of(recipe: str, environment: ClusterEnvironment, gpus: int = 0, *overrides: str) -> RunOnSlurm:
    loaded = load_recipe(RECIPES / recipe, overrides)
    return RunOnSlurm(loaded, Path("runs") / loaded.recipe.name, environment, gpus)


def option(job: Job, name: str) -> str | None:
    """Return the value of an option: "" for one without a value, None where it is not given."""
    found = [part for part in job.options if part.split("=")[0] == f"--{name}"]
    return found[0].partition("=")[2] if found else None


def by_stage(jobs: Sequence[Job]) -> dict[str, Job]:
    return {job.stage: job for job in jobs}


def test_stages_that_are_done_have_no_job_and_the_first_that_is_not_waits_for_none(
    environment: ClusterEnvironment,
) -> None:
    done = Standing(StageState.DONE)
    standings = MISSING | {"prepare": done, "filter": done, "hybrid": done}
    standings["sft"] = Standing(StageState.CHANGED, ("recipe.sft.steps",))

    jobs = chain_jobs(run_of("smoke.yaml", environment), standings, "dpo")

    assert [(job.stage, job.after) for job in jobs] == [("pack", None), ("sft", "pack"), ("dpo", "sft")]
    assert "--dependency" not in " ".join(jobs[0].command())
    assert {"--dependency=afterok:17", "--kill-on-invalid-dep=yes"} < set(jobs[1].command(17))


def test_a_run_that_is_done_has_no_jobs(environment: ClusterEnvironment) -> None:
    standings = dict.fromkeys(STAGES, Standing(StageState.DONE))

    assert chain_jobs(run_of("smoke.yaml", environment), standings, "export") == ()


def test_training_takes_whole_nodes_and_hears_of_its_time_limit(environment: ClusterEnvironment) -> None:
    site = replace(environment, partition="gpu", cpu_partition="cpu", constraint="h100", signal_seconds=120)

    jobs = by_stage(chain_jobs(run_of("hermes4-70b.yaml", site, 3), MISSING, "export"))

    sft = jobs["sft"]
    assert [option(sft, name) for name in ("nodes", "gpus-per-node", "ntasks-per-node")] == ["16", "8", "1"]
    assert [option(sft, name) for name in ("partition", "constraint", "time")] == ["gpu", "h100", "24:00:00"]
    assert (option(sft, "exclusive"), option(sft, "mem"), option(sft, "signal")) == ("", "0", "B:USR1@120")
    assert Path(sft.script[0]).name == "train.sbatch"


def test_one_process_asks_for_gpus_only_where_it_answers(environment: ClusterEnvironment) -> None:
    site = replace(environment, partition="gpu", cpu_partition="cpu", constraint="h100")

    jobs = by_stage(chain_jobs(run_of("hermes4-70b.yaml", site, 3), MISSING, "export"))

    for stage in ("prepare", "filter", "pack", "export"):
        assert option(jobs[stage], "gpus-per-node") is None
        assert (option(jobs[stage], "partition"), option(jobs[stage], "constraint")) == ("cpu", None)
        assert (option(jobs[stage], "nodes"), option(jobs[stage], "cpus-per-task")) == ("1", "16")
    evaluate = jobs["evaluate"]
    assert [option(evaluate, name) for name in ("nodes", "gpus-per-node", "partition")] == ["1", "3", "gpu"]
    assert Path(evaluate.script[0]).name == "stage.sbatch"


def test_one_process_has_the_memory_of_its_node_but_for_what_an_array_of_its_own_may_need(
    environment: ClusterEnvironment,
) -> None:
    array = ("data.engine.executor=slurm",)
    local = by_stage(chain_jobs(run_of("smoke.yaml", environment), MISSING, "export"))
    arrays = by_stage(chain_jobs(run_of("smoke.yaml", environment, 0, *array), MISSING, "export"))
    some = by_stage(chain_jobs(run_of("smoke.yaml", replace(environment, memory="512G")), MISSING, "export"))

    stages = ("prepare", "filter", "pack", "evaluate", "export")
    assert {stage: option(local[stage], "mem") for stage in stages} == dict.fromkeys(stages, "0")
    assert [option(arrays[stage], "mem") for stage in stages] == ["0", None, None, "0", "0"]
    assert [option(some[stage], "mem") for stage in ("sft", "export")] == ["0", "512G"]


def test_the_script_lets_no_job_be_told_of_hosts_without_slurm(environment: ClusterEnvironment) -> None:
    run = run_of("smoke.yaml", environment)

    lines = script(run, chain_jobs(run, MISSING, "sft")).splitlines()

    unset = lines.index("unset HERMES_NODES HERMES_RANKS_PER_NODE HERMES_RENDEZVOUS")
    assert unset < next(index for index, line in enumerate(lines) if "sbatch" in line)


def test_a_recipe_for_cpus_asks_for_no_gpu(environment: ClusterEnvironment) -> None:
    jobs = chain_jobs(run_of("smoke.yaml", environment, 0, "cluster.nodes=2"), MISSING, "export")

    assert all(option(job, "gpus-per-node") is None for job in jobs)
    assert option(by_stage(jobs)["sft"], "nodes") == "2"


def test_the_sites_own_options_come_last_and_the_recipes_overrides_reach_the_jobs(
    environment: ClusterEnvironment,
) -> None:
    site = replace(
        environment, account="research", qos="long", time=None, sbatch=("--reservation=night shift",)
    )

    sft = by_stage(chain_jobs(run_of("smoke.yaml", site, 0, "sft.steps=9"), MISSING, "sft"))["sft"]

    assert (option(sft, "account"), option(sft, "qos"), option(sft, "time")) == ("research", "long", None)
    assert sft.options[-1] == "--reservation=night shift"
    assert sft.script[1:] == ("sft", str(RECIPES / "smoke.yaml"), "--runs", "runs", "-o", "sft.steps=9")


@pytest.mark.parametrize(
    ("recipe", "gpus"),
    # Weights and a batch's keys and values: 16 + 137, 30 + 172, 141 + 344 GB; no node holds the last.
    [("llama3-8b", 2), ("hermes4-14b", 3), ("hermes4-70b", 6), ("hermes4-405b", 8), ("smoke", 0)],
)
def test_evaluation_has_the_gpus_that_hold_its_model_and_answers(recipe: str, gpus: int) -> None:
    assert prepare_launch(LaunchRequest(RECIPES / f"{recipe}.yaml")).on_slurm.evaluation_gpus == gpus


@pytest.mark.parametrize("recipe", sorted(path.name for path in RECIPES.glob("*.yaml")))
def test_every_recipe_renders_as_a_script_without_a_fault(
    recipe: str, tmp_path: Path, environment: ClusterEnvironment
) -> None:
    run = run_of(recipe, replace(environment, sbatch=("--comment=it's & mine",)), 1, "cluster.nodes=2")
    jobs = chain_jobs(run, MISSING, "export")
    file = tmp_path / "launch.sh"

    file.write_text(script(run, jobs))

    checked = subprocess.run([SHELLCHECK, file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    *_, last = file.read_text().splitlines()
    words = shlex.split(last.replace("${evaluate_job}", "17"))
    assert words == by_stage(jobs)["export"].command(17)


def test_a_run_that_does_not_fit_is_refused_with_what_helps() -> None:
    request = LaunchRequest(RECIPES / "hermes4-70b.yaml", nodes=1)

    with pytest.raises(UserError) as told:
        prepare_launch(request)

    assert "does not fit on 1 node of 8 x H100 80 GB: sft needs" in str(told.value)
    assert "it fits with --nodes 4, or with -o parallel.zero_stage=3 -o parallel.offload=optimizer" in str(
        told.value
    )
    assert prepare_launch(replace(request, nodes=4)).on_slurm.cluster.nodes == 4


def test_ranks_on_cpus_are_refused_only_for_what_holds_on_cpus_too(tmp_path: Path) -> None:
    # Sampled thoughts of a model that no GPU holds whole.
    request = LaunchRequest(RECIPES / "demo.yaml", nodes=3)

    with pytest.raises(UserError, match=r"demo does not fit on 3 x 1 ranks on CPUs: sft\.global_batch"):
        prepare_launch(request)
    big = ("cluster.gpu=none", "model.base=meta-llama/Llama-3.1-405B", "cluster.nodes=24")
    assert prepare_launch(LaunchRequest(RECIPES / "hermes4-405b.yaml", big)).on_slurm.evaluation_gpus == 0


def test_an_unknown_stage_is_told() -> None:
    with pytest.raises(UserError, match="--until sfft: there is no such stage"):
        prepare_launch(LaunchRequest(RECIPES / "smoke.yaml", until="sfft"))


def test_the_record_of_a_chain_is_read_as_it_was_written(tmp_path: Path) -> None:
    chain = Chain(
        "2026-11-22T09:14:03+00:00", "ada", "slurm", (SubmittedJob("sft", 17, (16,), ("sbatch", "x")),)
    )

    assert read_chain(tmp_path) is None
    write_chain(tmp_path, chain)
    assert read_chain(tmp_path) == chain

    (tmp_path / "jobs" / "chain.json").write_text('{"submitted": ')
    with pytest.raises(UserError, match=r"chain.json is damaged .* look with `squeue --me`"):
        read_chain(tmp_path)
