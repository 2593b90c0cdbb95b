"""What datatrove says about itself: into a file, not onto the screen."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path


@contextmanager
def engine_log(logs: Path) -> Iterator[None]:
    """Send what datatrove says within the block to `engine.log` in its folder of logs."""
    with redirect_stderr(io.StringIO()):
        from datatrove.utils.logging import logger
    logger.remove()
    logger.add(logs / "engine.log", level="DEBUG")
    try:
        yield
    finally:
        # Each task of a run in this process has put datatrove's own handler back.
        logger.remove()
