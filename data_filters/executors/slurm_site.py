"""What is particular to a cluster, out of the environment: the settings that launch/cluster.env explains."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from data_filters.errors import UserError
from data_filters.settings import SlurmSettings

_SAY_WHERE_SLURM_IS = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
_SAY_WHO_PAYS_AND_WHERE = (
    *("SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS", "SBATCH_RESERVATION", "SBATCH_WCKEY"),
    "SBATCH_CLUSTERS",
)
_OF_A_JOB = ("SLURM_", "SBATCH_", "SRUN_")
_FILTERS_AND_FORMS = ("SQUEUE_", "SINFO_", "SCANCEL_")


def with_site_defaults(settings: SlurmSettings, environment: Mapping[str, str]) -> SlurmSettings:
    """Return the settings with what they leave open as the site's settings say; None where these leave it to Slurm."""

    def site(*names: str) -> str | None:
        return next((environment[name] for name in names if environment.get(name)), None)

    return settings.model_copy(
        update={
            "partition": settings.partition or site("HERMES_CPU_PARTITION", "HERMES_PARTITION"),
            "account": settings.account or site("HERMES_ACCOUNT"),
            "qos": settings.qos or site("HERMES_QOS"),
            "time": settings.time or site("HERMES_CPU_TIME"),
        }
    )


def site_options(environment: Mapping[str, str]) -> list[str]:
    """Return the site's further options of sbatch. Raises UserError where HERMES_SBATCH is no line of a shell."""
    given = environment.get("HERMES_SBATCH", "")
    try:
        return shlex.split(given)
    except ValueError as error:
        raise UserError(
            f"HERMES_SBATCH is {given!r}, which cannot be read ({error}); close the quotes"
        ) from error


def submission_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment to submit a job with: without what shapes the job that this process may be in.

    sbatch hands its environment on. What Slurm does not set anew would be an outer job's: its memory, which srun
    refuses beside that of a core, its numbers of tasks and of array members, its step. SBATCH_* variables are options
    for any job; of those only who pays and where is meant for these.
    """
    kept = (*_SAY_WHERE_SLURM_IS, *_SAY_WHO_PAYS_AND_WHERE)
    return {
        name: value for name, value in environment.items() if not name.startswith(_OF_A_JOB) or name in kept
    }


def query_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a question: without the user's own filters and forms, which would hide jobs."""
    asked = {name: value for name, value in environment.items() if not name.startswith(_FILTERS_AND_FORMS)}
    return asked | {"SLURM_TIME_FORMAT": "standard"}
