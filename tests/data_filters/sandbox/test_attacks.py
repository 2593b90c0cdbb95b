"""Hostile candidates, through the same door as any answer: none is verified, none leaves anything, none slows the next.

A candidate that does something forbidden gives the right answer once it has worked, so "not verified" also says that
it did not work (see `attacks`).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

# The suite is no installed package: benchmarks/peers_attacks.py gives the same candidates to other graders.
sys.path.insert(0, str(Path(__file__).parent))

import attacks
from attacks import Candidate, leftovers
from attacks.bait import Bait

from data_filters.samples import Check, CodeTask, Outcome
from data_filters.sandbox import pool
from data_filters.sandbox.layers import Layer
from data_filters.sandbox.pool import Sandbox
from data_filters.settings import CodeSettings
from data_filters.verifiers import code

pytestmark = pytest.mark.long

SETTINGS = CodeSettings(seconds=0.4, wall_seconds=1.0, memory_megabytes=256)
FLOOD_BYTES = 2 * SETTINGS.memory_megabytes << 20
FORMS = frozenset(os.environ.get("ATTACK_FORMS", " ".join(attacks.FORMS)).split())
LONGEST_SECONDS = SETTINGS.wall_seconds + 2.0
"""What a hostile candidate may cost in all."""
SLOWEST_NEXT_SECONDS = 1.0
"""The next candidate's first run, a new server for it included."""
TIMES_SLOWER = 5
"""Generous: the machine may be busy."""

TASKS = {
    "tests": {"entry_point": attacks.ENTRY_POINT, "tests": attacks.TESTS},
    "idioms": {"entry_point": attacks.ENTRY_POINT, "tests": attacks.IDIOMS},
    "cases": {"entry_point": attacks.ENTRY_POINT, "cases": attacks.CASES},
    "io": {"io": attacks.IO},
}
HELD_BY_LAYERS = ("channel", "files", "kernel", "network", "next_candidate", "processes", "resources")
"""The groups that the layers hold; the others are held by the parting of processes alone."""

ALLOWED_WITHOUT = {
    Layer.SECCOMP: {
        "kernel/changes_personality",
        "kernel/handles_page_faults",
        "kernel/keeps_a_key",
        "kernel/new_user_namespace",
        "network/raw_sockets",
        "processes/clones_by_clone3",
        "processes/clones_by_system_call",
        "processes/double_forked_daemon",
        "processes/fork_bomb",
        "processes/forks_a_child",
        "processes/multiprocessing_child",
    }
}
"""What a candidate may do where one layer is off, because it does no harm: the other layers keep it inside."""

_FILES = (
    "files/",
    "next_candidate/",
    "resources/large_file",
    "resources/many_files",
    "resources/shared_memory_flood",
)
NOT_TRIED_WITHOUT = {Layer.MOUNT_NAMESPACE: _FILES, Layer.READ_ONLY_ROOT: _FILES}
"""What this layer alone holds back: without it a candidate has the rights of an ordinary user on files."""

ROOT = Path(__file__).parents[3]
NOBODY = "65534"
# Interpreter, checkout and packages are bound to where every user may go: they may lie in root's home. One form each:
# how the forms differ does not depend on the user.
AS_NOBODY = """
set -e
mkdir python checkout packages
mount --bind "$1" python; mount --bind "$2" checkout; mount --bind "$3" packages
cd checkout
exec setpriv --reuid $6 --regid $6 --clear-groups --inh-caps=-all env -i PATH="$PATH" HOME=/nonexistent \
    LD_LIBRARY_PATH="$5/python/lib" PYTHONPATH="$5/checkout:$5/packages" PYTHONDONTWRITEBYTECODE=1 \
    ATTACK_FORMS=cases "$5/python/bin/$4" -m pytest -q -p no:cacheprovider --basetemp "$5/tests" \
    tests/data_filters/sandbox/test_attacks.py -k "not unprivileged and not layer"
"""

HONEST = next(candidate for candidate in attacks.controls() if candidate.name == "plain")


def judged(candidate: Candidate, form: str, bait: Bait) -> Check:
    task = msgspec.convert({"kind": "code", **TASKS[form]}, CodeTask)
    return code.check(task, f"```python\n{candidate.program(form, bait.facts())}\n```", SETTINGS)


def honest_seconds(bait: Bait) -> float:
    """Time of a plain right answer, which must be verified."""
    started = time.perf_counter()
    assert judged(HONEST, "cases", bait).outcome == Outcome.VERIFIED
    return time.perf_counter() - started


@pytest.fixture(scope="module", autouse=True)
def _orphans_stay_in_sight() -> None:
    leftovers.adopt_orphans()


@pytest.fixture(scope="module")
def bait() -> Iterator[Bait]:
    # A server that earlier tests have started would not have inherited the secret in the environment.
    pool.close()
    with Bait(FLOOD_BYTES) as set_out:
        yield set_out


@pytest.fixture(scope="module")
def usual_seconds(bait: Bait) -> float:
    """Median time of an honest candidate before any attack; every sandbox is warm after it."""
    for form in attacks.FORMS:
        judged(HONEST, form, bait)
    return statistics.median(honest_seconds(bait) for _ in range(20))


@pytest.mark.parametrize("candidate", attacks.candidates(), ids=lambda candidate: candidate.name)
def test_a_hostile_candidate_is_not_verified_and_leaves_nothing(
    candidate: Candidate, bait: Bait, usual_seconds: float
) -> None:
    before = leftovers.seen(bait.marker, bait.free_port)

    checks, slowest = {}, 0.0
    for form in FORMS.intersection(candidate.forms) or candidate.forms:
        started = time.perf_counter()
        checks[form] = judged(candidate, form, bait)
        slowest = max(slowest, time.perf_counter() - started)
    first, *later = (honest_seconds(bait) for _ in range(3))

    assert {form: check for form, check in checks.items() if check.outcome == Outcome.VERIFIED} == {}
    assert {form: check for form, check in checks.items() if check.reason == "code_infrastructure"} == {}
    assert bait.harm() == []
    assert leftovers.left_since(before, bait.marker, bait.free_port) == []
    assert slowest < LONGEST_SECONDS
    assert first < SLOWEST_NEXT_SECONDS
    assert min(later) < TIMES_SLOWER * usual_seconds


def test_nothing_that_one_candidate_leaves_is_found_by_the_next(bait: Bait) -> None:
    *leaving, finding = sorted(
        (candidate for candidate in attacks.candidates() if candidate.group == "next_candidate"),
        key=lambda candidate: candidate.name == "next_candidate/finds_what_was_left",
    )
    assert finding.name == "next_candidate/finds_what_was_left"

    for form in ("cases", "io"):
        for candidate in leaving:
            judged(candidate, form, bait)
            assert judged(finding, form, bait).outcome == Outcome.REFUTED, (candidate.name, form)


@pytest.mark.parametrize("control", attacks.controls(), ids=lambda control: control.name)
def test_an_honest_candidate_is_verified(control: Candidate, bait: Bait) -> None:
    checks = {form: judged(control, form, bait) for form in control.forms}

    assert {form: check for form, check in checks.items() if check.outcome != Outcome.VERIFIED} == {}


@pytest.mark.parametrize("layer", Layer)
def test_without_one_layer_the_others_still_hold(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bait(FLOOD_BYTES) as bait, Sandbox(without=frozenset({layer})) as sandbox:
        monkeypatch.setattr(code, "shared_sandbox", lambda *_: sandbox)
        honest_seconds(bait)
        before = leftovers.seen(bait.marker, bait.free_port)
        verified = {
            candidate.name
            for candidate in tried_without(layer)
            if judged(candidate, "cases", bait).outcome == Outcome.VERIFIED
        }
        honest_seconds(bait)

        assert layer in sandbox.missing
        assert verified - ALLOWED_WITHOUT.get(layer, set()) == set()
        assert bait.harm() == []
        assert leftovers.left_since(before, bait.marker, bait.free_port) == []


def tried_without(layer: Layer) -> list[Candidate]:
    """Those that the kernel has to hold and that run into no time limit, save what this layer alone holds back."""
    left_out = NOT_TRIED_WITHOUT.get(layer, ())
    return [
        candidate
        for candidate in attacks.candidates()
        if candidate.group in HELD_BY_LAYERS
        and candidate.forms == attacks.FORMS
        and not candidate.name.startswith(left_out)
    ]


@pytest.mark.parametrize(
    "without", [frozenset(), frozenset({Layer.MOUNT_NAMESPACE})], ids=["all layers", "on disk"]
)
def test_clearing_up_after_one_candidate_is_not_charged_to_the_next(
    without: frozenset[Layer], bait: Bait, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = {candidate.name: candidate for candidate in attacks.candidates()}

    with Sandbox(without=without) as sandbox:
        monkeypatch.setattr(code, "shared_sandbox", lambda *_: sandbox)
        honest_seconds(bait)
        judged(hostile["resources/deep_folders"], "cases", bait)

        assert honest_seconds(bait) < SLOWEST_NEXT_SECONDS


def test_the_suite_holds_for_an_unprivileged_user() -> None:
    if os.geteuid() != 0:
        return  # then all tests above have run as one
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        arguments = [sys.base_prefix, str(ROOT), sysconfig.get_path("purelib"), version, folder, NOBODY]
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", AS_NOBODY, "sh", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
