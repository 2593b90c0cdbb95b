"""`<run>/jobs/chain.json`: the jobs that the latest launch submitted.

{"submitted": "2026-11-22T09:14:03+00:00", "user": "ada", "cluster": "slurm",
 "jobs": [{"stage": "sft", "job": 1234, "after": [1233], "command": ["sbatch", "--parsable", "..."]}]}
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from data_filters.errors import UserError
from hermes_train.runs import JOBS, write_json

FILE = Path(JOBS) / "chain.json"


@dataclass(frozen=True)
class SubmittedJob:
    """A job as Slurm took it."""

    stage: str
    job: int
    after: tuple[int, ...]
    command: tuple[str, ...]


@dataclass(frozen=True)
class Chain:
    """The jobs of one launch, in order."""

    submitted: str
    """When the launch began, in UTC."""
    user: str
    cluster: str
    jobs: tuple[SubmittedJob, ...] = ()


def write_chain(run_folder: Path, chain: Chain) -> None:
    """Write the record, whole or not at all."""
    write_json(run_folder / FILE, asdict(chain))


def read_chain(run_folder: Path) -> Chain | None:
    """Return the record, or None where nothing was launched. Raises UserError for a file that is damaged."""
    path = run_folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Chain)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise UserError(
            f"{path} is damaged ({error}); look with `squeue --me` for jobs of the run, then remove the file"
        ) from error
