"""The files of a run that may be written at this moment, by somebody else: what is damaged is noted, never raised.

Nothing here writes or locks, so that anybody who may read a run can ask how it stands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec

Record = TypeVar("Record")

_TAIL_BYTES = 64 * 1024
"""What is read of the end of a file that grows: some hundred lines of metrics.jsonl."""


_MOST_FILES = 5000
"""Files that are looked at in one folder: a filter may leave some for each of its shards."""


class RunFiles:
    """Reads the files of a run; `faults` names those that could not be read, and why."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.faults: list[str] = []

    def record(self, name: str, kind: type[Record]) -> Record | None:
        """Return a JSON file as a record; None where it is absent, and with a fault where it is damaged."""
        content = self._content(name, Path.read_bytes)
        return None if content is None else self._decoded(content, kind, name)

    def last_records(self, name: str, kind: type[Record]) -> list[Record]:
        """Return the records of a file's last lines. A line without its end is still being written: it is left out."""
        lines = (self._content(name, _tail) or b"").split(b"\n")[:-1]
        found = (self._decoded(line, kind, name) for line in lines if line.strip())
        return [record for record in found if record is not None]

    def last_lines(self, name: str, number: int) -> list[str]:
        """Return the last lines of a text."""
        text = (self._content(name, _tail) or b"").decode(errors="replace")
        return text.splitlines()[-number:]

    def changed(self, name: str) -> datetime | None:
        """Return when a file was last written; None where it is absent."""
        return self._content(name, _time_of_change)

    def has_fault(self, stage: str) -> bool:
        """Say whether a file of a stage could not be read."""
        return any(fault.startswith(f"{stage}/") for fault in self.faults)

    def _content(self, name: str, read: Callable[[Path], Record]) -> Record | None:
        try:
            return read(self.run / name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.faults.append(f"{name} cannot be read: {error.strerror}")
            return None

    def _decoded(self, content: bytes, kind: type[Record], name: str) -> Record | None:
        try:
            # The loss of a run that came to grief is NaN: json reads that, msgspec alone would refuse it.
            return msgspec.convert(json.loads(content), kind)
        except (ValueError, msgspec.ValidationError) as error:
            self.faults.append(f"{name} is damaged: {error}")
            return None


def newest_change(folder: Path) -> datetime | None:
    """Return when a file in `folder` or below was last written, of the first few thousand met; None without any."""
    newest = 0.0
    # Folders that go while they are looked at are passed over.
    files = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    for path in islice(files, _MOST_FILES):
        with suppress(OSError):
            newest = max(newest, path.lstat().st_mtime)
    return datetime.fromtimestamp(newest, UTC) if newest else None


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = file.seek(max(0, size - _TAIL_BYTES))
        content = file.read()
    # The first line of a part has most likely lost its beginning.
    return content.partition(b"\n")[2] if start else content


def _time_of_change(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def read_settings(text: str) -> dict[str, Any]:
    """Return the resolved recipe of a run. Raises ValueError where it is no recipe."""
    import yaml

    try:
        values = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not isinstance(values, dict):
        raise ValueError("it is no mapping")
    return values
