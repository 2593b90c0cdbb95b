"""The passes that look at all rows: a majority over the traces of a prompt, exact duplicates, near duplicates.

Memory stays constant in the number of rows but for one byte a row: digests and signatures are sorted into files
and looked at one file at a time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_filters.changes import Changes
from data_filters.duplicates import take_out_exact
from data_filters.near_duplicates import take_out_near
from data_filters.prompt_groups import judge_by_majority
from data_filters.settings import DataSettings
from data_filters.shards import Shards


def find_changes(shards: Shards, settings: DataSettings, scratch: Path) -> Changes:
    """What the rows together say of single ones. `scratch` is an empty folder for the work and its result."""
    changes = Changes(scratch / "changes")
    duplicates, majority = settings.duplicates, settings.verify.majority
    if not (duplicates.exact or duplicates.near or majority):
        return changes
    kept = _kept_rows(shards)
    if majority is not None:
        # First: it says which rows are kept, and only those can be duplicates.
        judge_by_majority(shards, kept, changes, scratch / "majority", settings.verify)
    if duplicates.exact:
        take_out_exact(shards, kept, changes, scratch / "exact", duplicates.by)
    if duplicates.near is not None:
        take_out_near(shards, kept, changes, scratch / "near", duplicates.near, duplicates.by)
    return changes


def _kept_rows(shards: Shards) -> np.ndarray:
    """For each row of all shards, whether it is kept."""
    kept = np.zeros(shards.rows, dtype=bool)
    for task in shards.tasks:
        index = shards.index(task)
        kept[index["number"][index["pending"] == 0]] = True
    return kept
