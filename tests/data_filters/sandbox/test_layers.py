"""Layers seen from outside, each switched off alone, and what becomes of a recipe that requires one that is off."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data_filters.errors import UserError
from data_filters.sandbox.inmate import Inmate
from data_filters.sandbox.layers import NAMESPACES, Layer, layers_named
from data_filters.sandbox.pool import Sandbox, probe

Start = Callable[..., Inmate]
Tree = Callable[[Sandbox], list[int]]

ROOT = Path(__file__).parents[3]
NEEDS_ROOT = {Layer.CGROUP}
"""What a user without rights may not have everywhere."""
NEEDED_BY = {Layer.MOUNT_NAMESPACE: {Layer.READ_ONLY_ROOT, Layer.SCRATCH}}
"""Layers that go with another one."""


def seen_from_outside(process: int) -> dict[Layer, bool]:
    """Which layers hold a process, as the kernel tells it to others."""
    folder = Path(f"/proc/{process}")
    status = dict(
        line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line
    )
    mounts = [line.split() for line in (folder / "mountinfo").read_text().splitlines()]
    places = [fields[4] for fields in mounts]
    writable = [fields[4] for fields in mounts if "ro" not in fields[5].split(",")]
    limits = (folder / "limits").read_text()

    def is_own(namespace: str) -> bool:
        return (folder / "ns" / namespace).readlink() != Path(f"/proc/self/ns/{namespace}").readlink()

    return {
        Layer.USER_NAMESPACE: is_own("user"),
        Layer.PID_NAMESPACE: is_own("pid") and status["NSpid"].split()[-1] == "1",
        Layer.MOUNT_NAMESPACE: is_own("mnt"),
        Layer.NETWORK_NAMESPACE: is_own("net"),
        Layer.IPC_NAMESPACE: is_own("ipc"),
        Layer.UTS_NAMESPACE: is_own("uts"),
        Layer.READ_ONLY_ROOT: "/proc" not in places and set(writable) <= {"/scratch"},
        Layer.SCRATCH: any("nr_inodes=1025" in fields[-1] for fields in mounts),
        Layer.SECCOMP: status["Seccomp"] == "2",
        Layer.NO_NEW_PRIVS: status["NoNewPrivs"] == "1",
        Layer.RLIMITS: re.search(r"Max address space +1073741824 ", limits) is not None,
        Layer.CGROUP: "hermes-sandbox-" in (folder / "cgroup").read_text(),
    }


def look_at(sandbox: Sandbox, start_running: Start, tree: Tree) -> dict[Layer, bool]:
    """The layers that hold a program that is running."""
    with start_running(sandbox, "import time; time.sleep(60)"):
        return seen_from_outside(tree(sandbox)[-1])


def test_each_layer_that_is_said_to_be_on_is_seen_from_outside(
    sandbox: Sandbox, start_running: Start, tree: Tree
) -> None:
    assert frozenset(Layer) - sandbox.layers <= NEEDS_ROOT
    if os.geteuid() != 0:
        return  # only root may read the namespaces of a process that cannot be traced
    seen = look_at(sandbox, start_running, tree)

    assert {layer for layer, is_on in seen.items() if is_on} == sandbox.layers


@pytest.mark.parametrize("layer", Layer)
def test_one_layer_switched_off_takes_no_other_with_it(
    layer: Layer, start_running: Start, tree: Tree
) -> None:
    with Sandbox(without=frozenset({layer})) as sandbox:
        assert sandbox.missing[layer] == "switched off"
        gone = {layer} | NEEDED_BY.get(layer, set())
        if os.geteuid() == 0:
            assert {
                other for other, is_on in look_at(sandbox, start_running, tree).items() if not is_on
            } == gone
        elif layer == Layer.USER_NAMESPACE:
            # Nothing else can be had without rights, but these.
            assert {Layer.SECCOMP, Layer.NO_NEW_PRIVS, Layer.RLIMITS} <= sandbox.layers
        else:
            assert set(sandbox.missing) - gone <= NEEDS_ROOT


@pytest.mark.parametrize("layer", Layer)
def test_an_honest_program_runs_without_any_one_layer(layer: Layer, printed: Callable[..., str]) -> None:
    program = "import os; open('file', 'w').write('text'); print(os.listdir('.'))"
    with Sandbox(without=frozenset({layer})) as sandbox:
        for _ in range(2):
            assert printed(sandbox, program) == "['file']"


def test_with_every_layer_off_programs_still_run_and_leave_nothing(
    printed: Callable[..., str], tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = Path(tempfile.mkdtemp())  # tmp_path lies below a folder that root's programs may not enter
    folders.chmod(0o777)
    monkeypatch.setattr("tempfile.tempdir", str(folders))
    daemon = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            time.sleep(0.01)
    os._exit(0)
os.makedirs("deep/" * 50)
os.chmod("deep", 0)
print(os.getcwd())
"""
    with Sandbox(without=frozenset(Layer)) as sandbox:
        folder = Path(printed(sandbox, daemon))
        assert folder.parent == folders
        assert len(tree(sandbox)) == 2, "keeper and server, no daemon"
        assert printed(sandbox, "import os; print(os.listdir('.'))") == "[]"
        assert sandbox.layers == frozenset()
    folders.rmdir()  # which fails unless it is empty


def test_a_required_layer_that_is_off_is_named_with_a_way_out() -> None:
    with (
        Sandbox(require=["namespaces", "rlimits"], without=frozenset({Layer.NETWORK_NAMESPACE})) as sandbox,
        pytest.raises(
            UserError, match=r"network_namespace: switched off.*hermes-train doctor.*sandbox\.require"
        ),
    ):
        _ = sandbox.layers


def test_the_word_namespaces_stands_for_all_six() -> None:
    assert layers_named(["namespaces"]) == NAMESPACES
    assert len(NAMESPACES) == 6
    assert layers_named(["seccomp", "namespaces"]) == NAMESPACES | {Layer.SECCOMP}


def test_an_unknown_layer_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(
        ValueError, match="'seccmp' is no layer of the sandbox; choose from: namespaces, user_namespace"
    ):
        Sandbox(require=["seccmp"])


def test_the_probe_names_every_layer() -> None:
    found = probe()

    assert list(found) == list(Layer)
    assert all(found[layer] == "" for layer in (*NAMESPACES, Layer.SECCOMP, Layer.RLIMITS)), found


RUN_ONE = """
import json
from data_filters.sandbox.pool import Sandbox
from data_filters.sandbox.runs import Limits
with Sandbox() as sandbox, sandbox.start("data_filters.sandbox.harness.script", Limits()) as inmate:
    inmate.send(json.dumps({"setup": "", "code": "print('runs')", "input": ""}).encode())
    print(json.dumps([inmate.wait().stdout.decode(), sorted(sandbox.missing)]))
"""


@pytest.mark.parametrize(
    ("capabilities", "most_missing"),
    [
        ("-setuid,-setgid", set()),
        ("-sys_admin", {Layer.READ_ONLY_ROOT}),  # where only root may read the interpreter
        ("-all", set(Layer) - {Layer.SECCOMP, Layer.NO_NEW_PRIVS, Layer.RLIMITS}),
    ],
)
def test_root_with_fewer_rights_has_fewer_layers_but_runs(
    capabilities: str, most_missing: set[Layer]
) -> None:
    if os.geteuid() != 0:
        return  # then there are no rights to take away
    command = ["setpriv", f"--bounding-set={capabilities}", sys.executable, "-c", RUN_ONE]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    assert done.returncode == 0, done.stderr
    printed, missing = json.loads(done.stdout)
    assert printed == "runs\n"
    assert set(missing) <= most_missing | NEEDS_ROOT
