"""A check for the terminal: one line for each host, then what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hermes_train.cluster.preflight.facts import HostFacts
from hermes_train.cluster.preflight.judgement import counted
from hermes_train.cluster.preflight.record import HostRecord, Record, gpus_in_words

_SHOWN_VERSIONS = ("hermes-train", "torch", "NCCL", "CUDA driver")


def show(console: Console, record: Record, hosts: Sequence[HostFacts]) -> None:
    """Print the table of the hosts, warnings, what was not checked, and the outcome with its seconds."""
    console.print(_table(record, hosts))
    for line in _remarks(record):
        console.print(line, highlight=False, soft_wrap=True)
    word = {"fit": "[green]fit[/green]", "warned": "[yellow]fit, with warnings[/yellow]"}.get(
        record.outcome, "[red]not fit[/red]"
    )
    number = f"{counted(len(record.hosts), 'host')}, {counted(record.ranks, 'rank')}"
    if record.together is not None:
        console.print(f"all_reduce among all ranks: {record.together:.2f} GB/s", highlight=False)
    console.print(f"{word}: {number}, checked in {record.seconds:.1f} s", highlight=False)


def _table(record: Record, hosts: Sequence[HostFacts]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("host", "", "GPUs", "versions"):
        table.add_column(heading)
    for heading in ("GB/s between", "within", "clock s", "room GB"):
        table.add_column(heading, justify="right")
    for told, host in zip(record.hosts, hosts, strict=True):
        table.add_row(escape(host.host), _mark(told), *_facts(host, told))
    return table


def _mark(host: HostRecord) -> str:
    if host.problems:
        return "[red]not fit[/red]"
    return "[yellow]look[/yellow]" if host.warnings else "[green]fit[/green]"


def _facts(host: HostFacts, told: HostRecord) -> Iterator[str]:
    if host.own is None:
        yield from ["?"] * 6
        return
    versions = host.own.versions
    yield gpus_in_words(host) or "none"
    yield ", ".join(f"{name} {versions[name]}" for name in _SHOWN_VERSIONS if name in versions)
    yield _number(told.between, "{:.2f}")
    yield _number(told.within, "{:.2f}")
    yield _number(told.clock_offset, "{:+.3f}")
    yield _number(host.own.run_folder.free / 1e9, "{:.0f}")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _remarks(record: Record) -> Iterator[str]:
    for host in record.hosts:
        for text in host.warnings:
            yield f"[yellow]warning[/yellow] {escape(host.host)}: {escape(text)}"
    for text in record.warnings:
        yield f"[yellow]warning[/yellow] {escape(text)}"
    for text in record.unchecked:
        yield f"[dim]not checked[/dim] {escape(text)}"
