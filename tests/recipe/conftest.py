"""The smallest recipe that the schema takes, and a way to write recipes for a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

MINIMAL = """\
name: tiny
model:
  random: {}
  template: llama3
data:
  sources:
    - name: sums
      synthetic: sums
      rows: 10
pack:
  length: 256
sft:
  steps: 20
  warmup_steps: 2
  learning_rate: 1e-3
  global_batch: 2
hybrid: {steps: 2, learning_rate: 1e-3, global_batch: 2, problems: 4}
dpo: {steps: 2, learning_rate: 1e-3, global_batch: 2}
evaluate:
  problems:
    - {name: held-out, synthetic: sums, rows: 4}
"""

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Make an empty folder the current one; give a function that writes a file there and returns its path."""
    monkeypatch.chdir(tmp_path)

    def write_file(name: str, text: str) -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def tiny(write: Write) -> Path:
    """Write the smallest recipe as tiny.yaml in the current folder; give its path."""
    return write("tiny.yaml", MINIMAL)
