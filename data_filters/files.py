"""Files that appear whole or not at all, and rows of JSON lines."""

from __future__ import annotations

import gzip
import io
import os
import secrets
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from data_filters.errors import UserError

ASIDE_SUFFIX = ".part"
"""How the name of a file ends that is not finished."""

_COPIED_BYTES = 1 << 20


@contextmanager
def write_atomically(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file beside `path` for writing; on leaving, sync it and move it to `path` in one step.

    Yields the open file. `mode` is "w" (UTF-8 text) or "wb". Raises ValueError for another mode. After an
    error inside the block `path` is as it was before and nothing is left beside it.
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"mode is {mode!r}; it can be 'w' or 'wb'")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}{ASIDE_SUFFIX}")
    try:
        with aside.open("xb" if mode == "wb" else "x", encoding=None if mode == "wb" else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def is_left_aside(name: str, path_name: str) -> bool:
    """Whether a file called `name` is what a killed `write_atomically` left beside a file `path_name`."""
    return name.startswith(f".{path_name}.") and name.endswith(ASIDE_SUFFIX)


@contextmanager
def write_folder_whole(destination: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which takes the place of `destination` when the block ends without an error.

    Whenever the process is killed, `destination` is absent or whole.
    """
    aside = destination.with_name(destination.name + ASIDE_SUFFIX)
    replaced = destination.with_name(destination.name + ".old" + ASIDE_SUFFIX)
    for left in (aside, replaced):
        shutil.rmtree(left, ignore_errors=True)
    aside.mkdir(parents=True)
    yield aside
    for path in (*aside.iterdir(), aside):
        sync(path)
    if destination.exists():
        destination.rename(replaced)
    aside.rename(destination)
    sync(destination.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def remove_folder_whole(folder: Path) -> None:
    """Remove a folder: whenever the process is killed, it is whole or absent, and never there with a part of its files.

    A kill may leave the rest of it beside its place, under a name that `is_left_aside` knows.
    """
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}{ASIDE_SUFFIX}")
    folder.rename(aside)
    # A process that outlived a killed run may still be writing there; what is left is removed by the next run.
    shutil.rmtree(aside, ignore_errors=True)


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_jsonl(path: Path) -> Iterator[Any]:
    """Yield the value of each line that is not blank; `.gz` and `.zst` are unpacked. Raises msgspec.DecodeError."""
    with open_lines(path) as lines:
        for line in lines:
            if not line.isspace():
                yield msgspec.json.decode(line)


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Write rows as lines of JSON, whole or not at all; `.gz` is packed. Returns their number."""
    encoder = msgspec.json.Encoder()
    count = 0
    with write_atomically(path, "wb") as file:
        # mtime 0 and no name: the same rows give the same bytes.
        out = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if path.suffix == ".gz" else file
        for row in rows:
            out.write(encoder.encode(row) + b"\n")
            count += 1
        if out is not file:
            out.close()
    return count


def open_lines(path: Path) -> IO[bytes] | gzip.GzipFile:
    """Open a file as bytes; `.gz` and `.zst` are unpacked on the way."""
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    if path.suffix == ".zst":
        import pyarrow

        packed = pyarrow.OSFile(str(path), "rb")
        return io.BufferedReader(pyarrow.CompressedInputStream(packed, "zstd"), buffer_size=1 << 20)
    return path.open("rb", buffering=1 << 20)


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Turn what a damaged packed file raises while it is read into a UserError that names the file."""
    try:
        yield
    except (EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}); fetch it again") from error
    except OSError as error:
        # An error of the machine has a number; those of gzip and of Arrow have none.
        if error.errno is not None:
            raise
        raise UserError(f"{path} is damaged ({error}); fetch it again") from error


def copy_bytes(source: IO[bytes], stop: int | None, target: IO[bytes]) -> None:
    """Copy `source` from where it stands up to byte `stop`, or to its end."""
    left = None if stop is None else stop - source.tell()
    while left is None or left > 0:
        part = source.read(_COPIED_BYTES if left is None else min(left, _COPIED_BYTES))
        if not part:
            assert left is None, f"the file ends {left} bytes before {stop}"
            return
        target.write(part)
        left = None if left is None else left - len(part)
