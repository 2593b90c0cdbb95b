"""What the passes over all rows decide about single rows, kept on disk by task until the merge."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from data_filters.samples import Check


class Change(msgspec.Struct):
    """What a pass found about the row of this number; a refuted check takes the row out."""

    number: int
    check: Check


class Changes:
    """Changes by task, each task's in the order in which they were added."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._encoder = msgspec.json.Encoder()

    def add(self, task: int, changes: Iterable[Change]) -> None:
        """Write changes of rows of one task."""
        with self._file(task).open("ab") as file:
            for change in changes:
                file.write(self._encoder.encode(change) + b"\n")

    def of(self, task: int) -> dict[int, list[Check]]:
        """The checks of the changed rows of a task, by row."""
        found: dict[int, list[Check]] = {}
        if not self._file(task).is_file():
            return found
        decoder = msgspec.json.Decoder(Change)
        with self._file(task).open("rb") as lines:
            for line in lines:
                change = decoder.decode(line)
                found.setdefault(change.number, []).append(change.check)
        return found

    def _file(self, task: int) -> Path:
        return self._folder / f"{task:05d}.jsonl"
