"""DeepSpeed's compiled parts, built once on a machine, by one process at a time, and never waited for in vain.

PyTorch guards a build by a file that says that somebody builds. A process killed while it builds leaves that file, and
every later one waits for it forever. Here the builds of this package have a folder of their own, and a lock on it that
the kernel drops with its holder: whoever holds the lock knows that a file found there is a dead process'.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_FOLDER = "TORCH_EXTENSIONS_DIR"
_PYTORCHS_LOCK = "lock"
_OWN = "hermes-train"


def build_extensions(*builders: str) -> None:
    """Build and load what DeepSpeed's `builders` (such as CPUAdamBuilder) make, where this machine can.

    DeepSpeed finds them loaded when it asks for them. They lie in a folder of this package's own, below
    `$TORCH_EXTENSIONS_DIR` or the cache, where nobody else builds.
    """
    folder = own_folder()
    os.environ[_FOLDER] = str(folder)
    with _alone_in(folder):
        from deepspeed import ops
        from deepspeed.accelerator import get_accelerator

        for name in builders:
            builder = get_accelerator().create_op_builder(name)
            if builder is not None and ops.__compatible_ops__.get(builder.NAME, False):
                builder.load(verbose=False)


def own_folder() -> Path:
    """Return where this package's builds lie."""
    given = Path(os.environ.get(_FOLDER, Path.home() / ".cache" / "torch_extensions"))
    # PyTorch tells its versions apart in its own folder only.
    name = f"{_OWN}-torch{torch.__version__}-python{sys.version_info.major}.{sys.version_info.minor}"
    return given if given.name == name else given / name


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder for this process, and remove the files that say that somebody else builds in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{_OWN}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob(f"**/{_PYTORCHS_LOCK}"):
            left.unlink(missing_ok=True)
        yield
