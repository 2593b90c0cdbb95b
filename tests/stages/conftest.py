import sys
from pathlib import Path

import pytest

# The rows that several tests pack lie beside them.
sys.path.append(str(Path(__file__).parent))

from pack_rows import sample, write_rows  # found by the line above


@pytest.fixture(scope="session")
def prepared(packed_runs):
    return packed_runs / "smoke" / "prepare"


@pytest.fixture
def filtered(tmp_path):
    return write_rows(tmp_path / "filter", map(sample, range(2500)))
