"""What an array takes from the site's settings, and what it leaves of the environment that submits it."""

import pytest

from data_filters.errors import UserError
from data_filters.executors.slurm_site import (
    query_environment,
    site_options,
    submission_environment,
    with_site_defaults,
)
from data_filters.settings import SlurmSettings

SITE = {
    "HERMES_PARTITION": "gpu",
    "HERMES_ACCOUNT": "research",
    "HERMES_QOS": "normal",
    "HERMES_CPU_TIME": "12:00:00",
}


@pytest.mark.parametrize(
    ("given", "environment", "partition"),
    [
        ({}, {}, None),
        ({}, SITE, "gpu"),
        ({}, SITE | {"HERMES_CPU_PARTITION": "cpu"}, "cpu"),
        # An empty line of cluster.env leaves the choice to Slurm.
        ({}, SITE | {"HERMES_CPU_PARTITION": "", "HERMES_PARTITION": ""}, None),
        ({"partition": "short"}, SITE, "short"),
    ],
)
def test_the_partition_is_the_recipes_or_else_the_sites(
    given: dict[str, str], environment: dict[str, str], partition: str | None
) -> None:
    assert with_site_defaults(SlurmSettings(**given), environment).partition == partition


def test_who_pays_and_the_time_are_the_recipes_or_else_the_sites() -> None:
    chosen = with_site_defaults(SlurmSettings(qos="long"), SITE)

    assert (chosen.account, chosen.qos, chosen.time) == ("research", "long", "12:00:00")
    none = with_site_defaults(SlurmSettings(), {})
    assert (none.account, none.qos, none.time) == (None, None, None)


def test_more_options_of_a_site_are_read_as_a_shell_reads_them() -> None:
    assert site_options({}) == []
    assert site_options({"HERMES_SBATCH": "--reservation=hermes --comment='two words'"}) == [
        "--reservation=hermes",
        "--comment=two words",
    ]
    with pytest.raises(UserError, match=r"HERMES_SBATCH is .* close the quotes"):
        site_options({"HERMES_SBATCH": "--comment='two"})


def test_an_array_is_submitted_without_the_shape_of_any_other_job() -> None:
    where = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_ACCOUNT": "research", "HF_HOME": "/hub", **SITE}
    shape = {
        "SLURM_JOB_ID": "17",
        "SLURM_MEM_PER_NODE": "900",
        "SLURM_NTASKS": "2",
        "SLURM_HINT": "nomultithread",
        "SBATCH_TIMELIMIT": "3",
        "SRUN_DEBUG": "3",
    }

    assert submission_environment(where | shape) == where


def test_a_users_own_filters_hide_no_job_from_a_question() -> None:
    filters = {"SQUEUE_STATES": "R", "SINFO_FORMAT": "%N", "SCANCEL_INTERACTIVE": "1"}

    asked = query_environment({"SLURM_TIME_FORMAT": "relative", "SLURM_CONF": "/x", **filters})

    assert asked == {"SLURM_CONF": "/x", "SLURM_TIME_FORMAT": "standard"}
