"""What the stacks of hung ranks tell: where each stands, and for which of them the others wait."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from traceback import FrameSummary

_WAITS = "waits for other ranks"
_HEADER = re.compile(r"rank (?P<rank>\d+) on (?P<node>\S+), process \d+")
_PLACE = re.compile(rf"no step for \S+ minutes: (?P<how>{_WAITS}|is at work) in (?P<where>.*)")
_WORDLESS = re.compile(r"Timeout \(\S+\)!")
"""How `faulthandler` begins where the interpreter was never let go of, and no line of ours could be written."""
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')
_COLLECTIVES = ("/torch/distributed/", "/deepspeed/comm/")
_FRAMES_OF_A_COLLECTIVE = 6
"""How deep a collective's own frames lie, its logging and DeepSpeed's wrappers counted."""


@dataclass(frozen=True)
class Place:
    """Where a rank's main thread stands."""

    waits: bool
    """It waits for other ranks in a collective."""
    where: str
    """The innermost frame: `all_reduce (/.../distributed_c10d.py, line 3057)`."""

    @classmethod
    def of_stack(cls, frames: Sequence[FrameSummary]) -> Place:
        """Return the place of a stack, whose innermost frame comes last."""
        inner = frames[-_FRAMES_OF_A_COLLECTIVE:]
        waits = any(part in frame.filename for frame in inner for part in _COLLECTIVES)
        return cls(waits, f"{frames[-1].name} ({frames[-1].filename}, line {frames[-1].lineno})")

    def __str__(self) -> str:
        return f"{_WAITS if self.waits else 'is at work'} in {self.where}"


@dataclass(frozen=True)
class RankStack:
    """The file of a rank: where it runs, and where it stands once it has told so."""

    node: str
    place: Place | None


def stack_path(folder: Path, rank: int) -> Path:
    """Return the file of a rank."""
    return folder / f"rank-{rank}.txt"


def header(rank: int, node: str, process: int) -> str:
    """Return the first line of a rank's file."""
    return f"rank {rank} on {node}, process {process}"


def read_stacks(folder: Path) -> dict[int, RankStack]:
    """Return what lies in `folder`, by rank: ranks that have not ended in order."""
    found = {}
    for path in folder.glob("rank-*.txt"):
        first, *rest = [*path.read_text(encoding="utf-8", errors="replace").splitlines(), ""]
        begun = _HEADER.fullmatch(first)
        if begun is None:
            # Its rank was killed before it had written the line.
            continue
        found[int(begun["rank"])] = RankStack(begun["node"], _place_told(rest))
    return found


def _place_told(lines: Sequence[str]) -> Place | None:
    """Return where the main thread stands by the lines after the first; None for a rank that has told nothing."""
    for line in lines:
        if told := _PLACE.fullmatch(line):
            return Place(told["how"] == _WAITS, told["where"])
    if not any(_WORDLESS.fullmatch(line) for line in lines):
        return None
    # The newest thread stands first, so that the main one is the last; of its frames the innermost stands first.
    begin = max(
        (number for number, line in enumerate(lines) if line.startswith(("Thread ", "Current thread "))),
        default=0,
    )
    frames = [
        FrameSummary(frame["file"], int(frame["line"]), frame["name"], lookup_line=False)
        for frame in map(_FRAME.fullmatch, reversed(lines[begin:]))
        if frame
    ]
    return Place.of_stack(frames) if frames else None


def waited_for(stacks: Mapping[int, RankStack], rank_count: int) -> tuple[int, ...]:
    """Return the ranks for which the others wait; none where that cannot be told.

    Those that told nothing though others did; else those that stand outside of a collective while others wait in one;
    else those that stand elsewhere than most.
    """
    places = {rank: stack.place for rank, stack in stacks.items() if stack.place is not None}
    if len(places) < rank_count:
        return tuple(sorted(set(range(rank_count)) - set(places))) if places else ()
    at_work = tuple(sorted(rank for rank, place in places.items() if not place.waits))
    if len(at_work) < rank_count:
        return at_work
    where, most = Counter(place.where for place in places.values()).most_common(1)[0]
    if 2 * most <= rank_count:
        return ()
    return tuple(sorted(rank for rank, place in places.items() if place.where != where))


def describe(stacks: Mapping[int, RankStack], rank_count: int, folder: Path) -> str:
    """Return in words which ranks the others wait for, and where the stacks lie."""
    ranks = waited_for(stacks, rank_count)
    lie = f"the stacks of {len(stacks)} of {rank_count} ranks lie in {folder}"
    if not ranks:
        return lie
    first = stacks.get(ranks[0])
    node = f" on {first.node}" if first else ""
    place = f", which {first.place}" if first and first.place else ", which tells nothing"
    others = f" and {len(ranks) - 1} more" if len(ranks) > 1 else ""
    return f"the others wait for rank {ranks[0]}{node}{others}{place}; {lie}"


def nodes_of(stacks: Mapping[int, RankStack], ranks: Sequence[int]) -> tuple[str, ...]:
    """Return the nodes of `ranks`, of those that are known."""
    return tuple(sorted({stacks[rank].node for rank in ranks if rank in stacks}))
