"""What this machine offers to a run: processors, packages, GPUs, layers of the sandbox, Slurm."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

REQUIRED_PACKAGES = (
    "torch", "transformers", "trl", "deepspeed", "accelerate", "datasets", "peft", "wandb", "datatrove", "math-verify",
    "jsonschema-rs", "reasoning-gym",
)  # fmt: skip
OPTIONAL_PACKAGES = {
    "flash-attn": "attention takes the varlen of PyTorch (extra `gpu`)",
    "gguf": "GGUF bases, the demo's among them, cannot be read (extra `demo`)",
    "ray": "the filter runs locally or on Slurm only (extra `ray`)",
}

_SLURM_SECONDS = 10


class State(StrEnum):
    """Whether the machine offers something."""

    PRESENT = "present"
    ABSENT = "absent"
    """Not there, and not needed."""
    MISSING = "missing"
    """Not there, and some part of the recipe will not run without it."""


_STYLES = {State.PRESENT: "green", State.ABSENT: "yellow", State.MISSING: "red"}


@dataclass(frozen=True)
class Finding:
    """One thing looked for: its group, its name, whether it is there, and what that means."""

    group: str
    name: str
    state: State
    detail: str


def examine() -> Iterator[Finding]:
    """Look at the machine, group by group. Starts a sandbox and asks Slurm, so that it takes a few seconds."""
    looks: dict[str, Callable[[], Iterator[tuple[str, State, str]]]] = {
        "machine": _machine,
        "packages": _packages,
        "GPUs": _gpus,
        "sandbox": _sandbox,
        "Slurm": _slurm,
    }
    for group, look in looks.items():
        for name, state, detail in look():
            yield Finding(group, name, state, detail)


def findings_table(findings: Iterable[Finding]) -> Table:
    """Return the findings as a table for the terminal, a line between the groups."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "", "", "", box=box.SIMPLE, show_header=False, pad_edge=False)
    group = ""
    for finding in findings:
        if group and finding.group != group:
            table.add_section()
        heading = f"[bold]{finding.group}[/bold]" if finding.group != group else ""
        group = finding.group
        style = _STYLES[finding.state]
        table.add_row(heading, finding.name, f"[{style}]{finding.state}[/{style}]", escape(finding.detail))
    return table


def _machine() -> Iterator[tuple[str, State, str]]:
    yield "Python", State.PRESENT, platform.python_version()
    yield "cores", State.PRESENT, str(len(os.sched_getaffinity(0)))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield "memory", State.PRESENT, f"{memory / 2**30:.0f} GiB"
    disk = shutil.disk_usage(Path.cwd())
    yield "disk here", State.PRESENT, f"{disk.free / 2**30:.0f} GiB free of {disk.total / 2**30:.0f}"


def _packages() -> Iterator[tuple[str, State, str]]:
    for name in REQUIRED_PACKAGES:
        version = _version(name)
        if version is None:
            yield name, State.MISSING, "not installed; install hermes-train again"
        else:
            yield name, State.PRESENT, version
    for name, without in OPTIONAL_PACKAGES.items():
        version = _version(name)
        yield name, State.ABSENT if version is None else State.PRESENT, version or without


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _gpus() -> Iterator[tuple[str, State, str]]:
    import torch

    if not torch.cuda.is_available():
        yield "GPU", State.ABSENT, "none; training runs on the CPU"
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield f"GPU {index}", State.PRESENT, f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def _sandbox() -> Iterator[tuple[str, State, str]]:
    from data_filters.sandbox.pool import probe

    for layer, problem in probe().items():
        yield layer.value, State.ABSENT if problem else State.PRESENT, problem or "on"


def _slurm() -> Iterator[tuple[str, State, str]]:
    if shutil.which("sbatch") is None:
        yield "Slurm", State.ABSENT, "no sbatch on the PATH; filters run here, or on Ray"
        return
    for name, command in {
        "sbatch": ["sbatch", "--version"],
        "partitions": ["sinfo", "-h", "-o", "%P %D nodes"],
    }.items():
        yield _answer_of(name, command)


def _answer_of(name: str, command: list[str]) -> tuple[str, State, str]:
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=_SLURM_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return (
            name,
            State.MISSING,
            f"`{' '.join(command)}` gave no answer in {_SLURM_SECONDS} s; is slurmctld up?",
        )
    if told.returncode != 0:
        last_line = (told.stderr.strip().splitlines() or ["without a word"])[-1]
        return name, State.MISSING, f"`{' '.join(command)}` failed: {last_line[:200]}"
    return name, State.PRESENT, ", ".join(told.stdout.split("\n")).strip(", ")
