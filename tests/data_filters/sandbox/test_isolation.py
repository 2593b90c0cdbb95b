"""Each layer, tried by a program that is held by it; `without` takes away the layer that would refuse it sooner."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data_filters.sandbox.layers import Layer
from data_filters.sandbox.pool import Sandbox

Printed = Callable[..., str]


@pytest.fixture(scope="module")
def unfiltered() -> Iterator[Sandbox]:
    """A sandbox whose programs may make every system call, so that the other layers must answer."""
    with Sandbox(without=frozenset({Layer.SECCOMP})) as sandbox:
        yield sandbox


def refused(action: str) -> str:
    """A program that prints the name of the error with which an action fails."""
    return f"""
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")
try:
    print("allowed", {action})
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ("os.fork()", "EPERM"),
        ("os.posix_spawn('/bin/true', ['true'], {})", "EPERM"),
        ("os.execv('/usr/lib/x', ['x'])", "EPERM"),
        ("socket.socket()", "EPERM"),
        ("socket.socket(socket.AF_UNIX)", "EPERM"),
        ("socket.socketpair(type=socket.SOCK_DGRAM)", "EPERM"),
        ("os.setuid(0)", "EPERM"),
        ("os.kill(-1, 9)", "EPERM"),
        ("os.kill(0, 9)", "EPERM"),
        ("os.memfd_create('x')", "EPERM"),
        ("os.mkfifo('pipe')", "EPERM"),
        ("os.chroot('.')", "EPERM"),
        ("os.sched_setaffinity(0, {0})", "EPERM"),
        ("os.nice(1)", "EPERM"),
        ("os.setsid()", "EPERM"),
        ("call(101, 16, 1, 0, 0)", "EPERM"),  # ptrace
        ("call(310, 1, 0, 0, 0, 0, 0)", "EPERM"),  # process_vm_readv
        ("call(272, 0x10000000)", "EPERM"),  # unshare
        ("call(425, 8, 0)", "EPERM"),  # io_uring_setup
        ("call(321, 0, 0, 0)", "EPERM"),  # bpf
        ("call(250, 0, 0)", "EPERM"),  # keyctl
        ("call(323, 0)", "EPERM"),  # userfaultfd
        ("call(165, 0, 0, 0, 0, 0)", "EPERM"),  # mount
        ("call(157, 38, 0, 0, 0, 0)", "EPERM"),  # prctl(PR_SET_NO_NEW_PRIVS)
        ("call(157, 1, 0, 0, 0, 0)", "EPERM"),  # prctl(PR_SET_PDEATHSIG): it could outlive the server
        ("call(435, 0, 0)", "ENOSYS"),  # clone3
        ("call(40000, 0)", "ENOSYS"),
    ],
)
def test_system_calls_that_a_program_has_no_need_of_are_refused(
    sandbox: Sandbox, printed: Printed, action: str, error: str
) -> None:
    if os.uname().machine != "x86_64" and action.startswith("call"):
        return  # these numbers are of x86_64; test_seccomp has those of both machines
    assert printed(sandbox, refused(action)) == error


def test_threads_event_loops_and_temporary_files_work(sandbox: Sandbox, printed: Printed) -> None:
    program = """
import asyncio, concurrent.futures, tempfile, threading
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    total = sum(pool.map(abs, range(100)))
with tempfile.TemporaryDirectory() as folder, open(folder + "/file", "w+") as file:
    file.write("text")
async def main():
    await asyncio.sleep(0.001)
    return total
print(asyncio.run(main()), exit.__class__.__name__)
"""
    assert printed(sandbox, program) == "4950 Quitter"


def test_the_network_cannot_be_reached(unfiltered: Sandbox, printed: Printed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0hermes-test-{os.getpid()}")
        abstract.listen()
        port, name = server.getsockname()[1], abstract.getsockname().decode()

        assert (
            printed(unfiltered, refused(f"socket.create_connection(('127.0.0.1', {port}))")) == "ENETUNREACH"
        )
        reach = f"socket.socket(socket.AF_UNIX).connect({name!r})"
        assert printed(unfiltered, refused(reach)) == "ECONNREFUSED"
        assert printed(unfiltered, "import socket; print(socket.if_nameindex())") == "[(1, 'lo')]"


def test_no_other_process_is_visible(unfiltered: Sandbox, printed: Printed) -> None:
    assert (
        printed(unfiltered, "import os; print(os.getpid(), os.getppid(), os.path.exists('/proc/1'))")
        == "1 0 False"
    )
    assert printed(unfiltered, refused(f"os.kill({os.getpid()}, 0)")) == "ESRCH"


def test_the_root_is_read_only_and_cannot_be_made_writable(unfiltered: Sandbox, printed: Printed) -> None:
    for path in ("/new", "/usr/lib/new", os.__file__):
        assert printed(unfiltered, refused(f"open({path!r}, 'a')")) in ("EROFS", "EACCES")
    remount = "libc.mount(b'', b'/', b'', 0x20, b'') and call(165, 0, b'/', 0, 0x1020, 0)"
    assert printed(unfiltered, refused(remount)) == "EPERM"


def test_nothing_of_the_machine_but_python_is_in_the_tree(
    sandbox: Sandbox, printed: Printed, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("42")
    hidden = [
        str(secret),
        "/etc/passwd",
        "/proc/self",
        "/sys",
        "/var",
        "/run",
        "/bin/sh",
        "/dev/shm",
        "/dev/pts",
    ]
    present = f"import os; print([path for path in {hidden!r} if os.path.exists(path)])"
    assert printed(sandbox, present) == "[]"

    home = str(Path.home())
    listed = printed(sandbox, f"import os; print(*os.listdir({home!r}) if os.path.isdir({home!r}) else '')")
    python = [path for path in (sys.base_prefix, *sys.path) if path.startswith(home + "/")]
    assert set(listed.split()) <= {path.removeprefix(home + "/").partition("/")[0] for path in python}


def test_a_program_is_nobody_and_has_no_capability(unfiltered: Sandbox, printed: Printed) -> None:
    program = """
import ctypes, os
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
ctypes.CDLL(None).capget(header, data)
print(os.getuid(), list(data), [ctypes.CDLL(None).prctl(23, n, 0, 0, 0) for n in range(41)].count(1), end=" ")
"""
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    assert printed(unfiltered, program) == f"{user} [0, 0, 0, 0, 0, 0] 0"
    for action in ("os.setuid(0)", "os.setgroups([0])", "socket.sethostname('x')", "os.chroot('/')"):
        assert printed(unfiltered, refused(action)) in ("EPERM", "EINVAL")


def test_a_new_user_namespace_gives_no_way_out(unfiltered: Sandbox, printed: Printed) -> None:
    program = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10020000) == 0:
    print(libc.mount(b"tmpfs", b"/usr/lib", b"tmpfs", 0, b""), libc.umount2(b"/usr/lib", 2), end=" ")
    print(libc.mount(b"", b"/usr/lib", b"", 0x1020, b""))
try:
    open("/usr/lib/new", "w")
except OSError as error:
    print("refused")
"""
    assert printed(unfiltered, program).endswith("refused")


def test_scratch_is_private_and_empty_at_each_start(sandbox: Sandbox, printed: Printed) -> None:
    leave = """
import os
os.makedirs("folder/inner"); open("folder/file", "w").write("secret"); os.symlink("/", "link"); os.chmod("folder", 0)
os.utime(".", (1, 1))
print(sorted(os.listdir(os.environ["TMPDIR"])), os.getcwd(), os.path.expanduser("~"))
"""
    look = "import os; print(os.listdir('.'), oct(os.stat('.').st_mode), os.stat('.').st_mtime > 2)"

    assert printed(sandbox, leave) == "['folder', 'link'] /scratch /scratch"
    assert printed(sandbox, look) == "[] 0o40700 True"


def test_scratch_is_bounded_in_size_and_in_files(sandbox: Sandbox, printed: Printed) -> None:
    two_files = """
import errno
def fill(name):
    with open(name, "wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
for name in ("one", "two"):
    try:
        fill(name)
    except OSError as error:
        print(errno.errorcode[error.errno], end=" ")
"""
    many = """
import errno, itertools, os
try:
    for number in itertools.count():
        open(str(number), "w").close()
except OSError as error:
    print(errno.errorcode[error.errno], number)
"""
    assert printed(sandbox, two_files, scratch_bytes=1 << 20) == "EFBIG ENOSPC"
    assert printed(sandbox, many, scratch_files=50) == "ENOSPC 49", "the standard input is one"


def test_a_file_is_no_larger_than_the_scratch_folder(printed: Printed) -> None:
    program = refused("open('file', 'wb').truncate((1 << 20) + 1)")
    with Sandbox(without=frozenset({Layer.SCRATCH, Layer.READ_ONLY_ROOT})) as sandbox:
        assert printed(sandbox, program, scratch_bytes=1 << 20) == "EFBIG"


def test_no_program_can_be_run_from_scratch(unfiltered: Sandbox, printed: Printed) -> None:
    program = """
import os
open("program", "wb").write(b"#!/bin/true")
os.chmod("program", 0o755)
""" + refused("os.execv('./program', ['x'])")
    assert printed(unfiltered, program) == "EACCES"


def test_open_files_threads_and_memory_are_bounded(sandbox: Sandbox, printed: Printed) -> None:
    files = refused("[os.dup(0) for _ in range(1000)]")
    threads = """
import threading
gate = threading.Event()
try:
    for number in range(100):
        threading.Thread(target=gate.wait, daemon=True).start()
except RuntimeError:
    print(number < 20)
gate.set()
"""
    assert printed(sandbox, files) == "EMFILE"
    assert printed(sandbox, threads, threads=16) == "True"


def test_only_its_own_file_descriptors_are_open(sandbox: Sandbox, printed: Printed) -> None:
    program = """
import os
found = []
for number in range(64):
    try:
        os.fstat(number)
    except OSError:
        continue
    found.append(number)
print(found)
"""
    assert printed(sandbox, program) == "[0, 1, 2, 4]", "4 is the line to its caller"


def test_every_run_has_the_same_order_of_sets_and_the_same_random_numbers(printed: Printed) -> None:
    program = "import random; print(list({'a', 'b', 'c', 'd'}), random.random())"
    seen = set()
    for _ in range(2):
        with Sandbox() as sandbox:
            seen |= {printed(sandbox, program).partition("]")[0] for _ in range(2)}
    assert len(seen) == 1


def test_nothing_of_an_earlier_program_is_in_the_server_s_memory(
    sandbox: Sandbox, printed: Printed, tree: Callable[[Sandbox], list[int]]
) -> None:
    if os.geteuid() != 0:
        return  # only root may look into the server
    marker = "".join(["MARK", "ER-", str(os.getpid())])
    printed(sandbox, f"print({marker!r})")

    assert not holds(tree(sandbox)[1], marker.encode())
    assert holds(os.getpid(), marker.encode()), "the search finds what is there"


def holds(process: int, text: bytes) -> bool:
    """Whether a text is anywhere in the writable memory of a process."""
    with Path(f"/proc/{process}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            region, rights, *_ = line.split()
            if rights.startswith("rw"):
                first, last = (int(end, 16) for end in region.split("-"))
                memory.seek(first)
                if text in memory.read(last - first):
                    return True
    return False
