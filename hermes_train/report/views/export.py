"""Section 6: the files of the exported model, and what it said when it was opened again."""

from __future__ import annotations

from dataclasses import dataclass

from data_filters.samples import Mode
from hermes_train.report.notation import compact, count, size
from hermes_train.report.records import ExportFigures
from hermes_train.report.views.answers import Written, shortened, take_apart


@dataclass(frozen=True)
class ChatView:
    """One exchange with the exported model."""

    mode: Mode
    prompt: str
    written: Written


@dataclass(frozen=True)
class ExportView:
    """The section on the export."""

    finding: str
    files: tuple[tuple[str, str], ...]
    total_size: str
    chats: tuple[ChatView, ...]


def export_view(figures: ExportFigures) -> ExportView:
    """Return the section for a finished export stage."""
    return ExportView(
        finding=(
            f"The files were opened again: the names and shapes of all {count(figures.tensors)} tensors were "
            f"compared ({compact(figures.parameters)} parameters)."
        ),
        files=tuple((file.name, size(file.bytes)) for file in figures.files),
        total_size=size(sum(file.bytes for file in figures.files)),
        chats=tuple(
            ChatView(chat.mode, shortened(chat.prompt), take_apart(chat.answer)) for chat in figures.chats
        ),
    )
