"""Log-probabilities of the pairs under the model that DPO starts from: a step of its own, done once and kept.

Training then holds one model. What is known lies in a folder whose name is a hash of the model's bytes, the pairs'
tokens, the precision and the kernels; it is written in parts of some hundred pairs, each whole or not there, so that a
run that was killed goes on where it was and a run with another loss, rate or number of ranks finds all of it.

    references/digests.json               of the model's files, so that their bytes are read once
    references/3f0c.../about.json         what the name was made from
    references/3f0c.../part-00000.npy     float32 (pairs of the part, 2): the chosen and the rejected answers' sums
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from data_filters.files import write_atomically
from hermes_train.runs import fingerprint, write_json
from hermes_train.training import ranks
from hermes_train.training.watch.stopping import stop_if_asked

PART_PAIRS = 1024
"""Pairs in a part: what a kill costs."""

_LAYOUT_VERSION = 1
"""Raise it when the sums get another meaning, so that a run after an update computes them anew."""

_ABOUT = "about.json"
_DIGESTS = "digests.json"

ScorePairs = Callable[[np.ndarray], np.ndarray]
"""Takes the numbers of some pairs; returns their sums, float32 (pairs, 2). All ranks call it with the same pairs."""


@dataclass(frozen=True)
class ReferenceKey:
    """What the log-probabilities depend on."""

    model: str
    """Name of the model's content, see `model_digest`."""
    pairs: str
    """Name of the pairs' tokens."""
    pair_count: int
    compute: str
    """Precision of the forward pass, how its weights are held, and its kernels."""

    @property
    def name(self) -> str:
        """The name of the folder."""
        return fingerprint([_LAYOUT_VERSION, PART_PAIRS, asdict(self)])


@dataclass(frozen=True)
class ReferenceCache:
    """The folder of one key."""

    folder: Path
    key: ReferenceKey

    @property
    def _path(self) -> Path:
        return self.folder / self.key.name

    def parts(self) -> list[range]:
        """Return the pairs of each part."""
        count = self.key.pair_count
        return [range(start, min(start + PART_PAIRS, count)) for start in range(0, count, PART_PAIRS)]

    def has(self, number: int) -> bool:
        """Say whether a part is there."""
        return self._part(number).exists()

    def read(self, number: int) -> np.ndarray:
        """Return the sums of a part that is there, float32 (pairs, 2)."""
        sums: np.ndarray = np.load(self._part(number), allow_pickle=False)
        return sums

    def write(self, number: int, sums: np.ndarray) -> None:
        """Keep the sums of a part."""
        self._path.mkdir(parents=True, exist_ok=True)
        if not (self._path / _ABOUT).exists():
            write_json(self._path / _ABOUT, asdict(self.key))
        with write_atomically(self._part(number), "wb") as file:
            np.save(file, sums.astype(np.float32), allow_pickle=False)

    def _part(self, number: int) -> Path:
        return self._path / f"part-{number:05d}.npy"


@dataclass(frozen=True)
class References:
    """The log-probabilities of all pairs, and how many of them were computed now."""

    sums: np.ndarray
    """float32 (pairs, 2): the sums over the chosen and the rejected answer's tokens."""
    computed: int


def known_or_scored(
    cache: ReferenceCache,
    scoring: Callable[[], AbstractContextManager[ScorePairs]],
    tick: Callable[[int], None],
) -> References:
    """Return the log-probabilities of all pairs: those in the cache, and the others scored and kept, part by part.

    `scoring` is entered only where parts are missing. `tick` is told how many pairs there are after each part that was
    scored. Every rank has to call this.
    """
    parts = cache.parts()
    # Rank 0 says which parts are there: another may look when rank 0 has already written one.
    missing = _as_rank_0_sees_it([number for number in range(len(parts)) if not cache.has(number)])
    found = {number: cache.read(number) for number in range(len(parts)) if number not in missing}
    if missing:
        with scoring() as score:
            for number in missing:
                found[number] = score(np.arange(parts[number].start, parts[number].stop))
                if ranks.is_main():
                    cache.write(number, found[number])
                tick(parts[number].stop)
                stop_if_asked(
                    "in the middle of the reference log-probabilities, which are kept as far as they are"
                )
    sums = np.concatenate([found[number] for number in range(len(parts))])
    return References(sums, computed=sum(len(parts[number]) for number in missing))


def model_digest(folder: Path, cache: Path) -> str:
    """Return 16 hexadecimal digits that name the weights and the configuration in a model's folder.

    All bytes are read: sizes and times of change would give a model that was copied over another the other's name, and
    a copy of the same model a new one. The ranks share the files, threads read them, and what is known of a file is
    kept in `cache` for as long as its place, size and time of change stand, so that even 800 GB are read once, in
    less time than their load takes. Every rank has to call this.
    """
    files = sorted([*folder.glob("*.safetensors"), folder / "config.json"])
    mark_of = {file.name: _mark(file) for file in files}
    known: dict[str, str] = _as_rank_0_sees_it(_read_digests(cache / _DIGESTS))
    unknown = [file for file in files if mark_of[file.name] not in known]
    own = unknown[ranks.rank() :: ranks.world_size()]
    with ThreadPoolExecutor() as threads:
        digests = threads.map(_file_digest, own)
        mine = {mark_of[file.name]: digest for file, digest in zip(own, digests, strict=True)}
    found = dict(known)
    for part in ranks.gathered_text(_as_text(mine)):
        found |= msgspec.json.decode(part)
    if unknown and ranks.is_main():
        cache.mkdir(parents=True, exist_ok=True)
        write_json(cache / _DIGESTS, found)
    return fingerprint({name: found[mark] for name, mark in mark_of.items()})


def _mark(file: Path) -> str:
    status = file.stat()
    return f"{file.resolve()} {status.st_size} {status.st_mtime_ns}"


def _file_digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _read_digests(path: Path) -> dict[str, str]:
    return msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}


def _as_rank_0_sees_it(value: Any) -> Any:
    return msgspec.json.decode(ranks.gathered_text(_as_text(value))[0])


def _as_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
