"""The tests of this folder, once more as a user without rights."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NOBODY = "65534"
# Bound to where every user may go: the interpreter may lie in root's home.
SCRIPT = """
set -e
mount --bind "$1" python; mount --bind "$2" checkout; mount --bind "$3" packages
cd checkout/tests/data_filters/sandbox
exec setpriv --reuid $6 --regid $6 --clear-groups --inh-caps=-all env -i PATH="$PATH" HOME=/nonexistent \
    LD_LIBRARY_PATH="$5/python/lib" PYTHONPATH="$5/checkout:$5/packages" PYTHONDONTWRITEBYTECODE=1 \
    "$5/python/bin/$4" -m pytest -q -p no:cacheprovider --basetemp "$5/tests" \
    test_channel.py test_isolation.py test_layers.py test_pool.py test_scratch.py
"""


@pytest.mark.long
def test_the_suite_holds_for_an_unprivileged_user() -> None:
    if os.geteuid() != 0:
        return  # then all tests have run as one
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        for name in ("python", "checkout", "packages"):
            (Path(folder) / name).mkdir()
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        arguments = [sys.base_prefix, str(ROOT), sysconfig.get_path("purelib"), version, folder, NOBODY]
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
