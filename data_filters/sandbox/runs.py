"""What a run may use, and what became of it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

MEBIBYTE = 1 << 20


class Limits(msgspec.Struct, frozen=True):
    """What one inmate may use. Sizes are in bytes, times in seconds."""

    seconds: float = 10.0
    """Time on the wall clock, from the start of the run."""
    cpu_seconds: float | None = None
    """Processor time of all its threads together; None leaves it to the wall clock."""
    memory_bytes: int = 1024 * MEBIBYTE
    """Address space, what the server had loaded before included (about 64 MiB)."""
    output_bytes: int = MEBIBYTE
    """What it may write to its standard output, and again to its standard error."""
    reply_bytes: int = 64 * MEBIBYTE
    """What it may send over its channel in all."""
    scratch_bytes: int = 64 * MEBIBYTE
    """What its scratch folder holds; also the size of one file."""
    scratch_files: int = 1024
    """How many files and folders its scratch folder holds."""
    threads: int = 64
    """How many threads it may have at once."""


class Ending(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    """The harness came to its end, or the program left with exit code 0."""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT_FLOOD = "output_flood"
    """It wrote more than it may, to its output or over its channel."""
    CRASHED = "crashed"
    """A signal, or an exit code other than 0."""
    KILLED = "killed"
    """The caller asked for its end."""
    INFRASTRUCTURE = "infrastructure"
    """The sandbox or the machine failed; this says nothing about the program. Worth one more try."""


class Run(msgspec.Struct, frozen=True):
    """What became of one inmate."""

    ending: Ending
    detail: str = ""
    """What decided, in words."""
    exit_code: int | None = None
    """None when a signal ended it, or when it never ran."""
    signal: int | None = None
    stdout: bytes = b""
    """At most `Limits.output_bytes` of what it wrote; stderr alike."""
    stderr: bytes = b""
    seconds: float = 0.0
    """Wall time from the start of the run to its end."""
    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    """The most memory it held at once, pages shared with the server included."""
