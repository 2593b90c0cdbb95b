"""Writes to a temporary file and to the working folder, and reads it back."""

import json
import tempfile
from pathlib import Path


def running_totals(numbers):
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "numbers.json"
        kept.write_text(json.dumps(numbers))
        read = json.loads(kept.read_text())
    Path("notes.txt").write_text("done")
    return [sum(read[: end + 1]) for end in range(len(read))]
