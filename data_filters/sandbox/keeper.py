"""The outermost process of a sandbox: it stays outside, makes the server, and clears up behind it.

    caller ── keeper (this; outside all namespaces)
                └── server (process 1 of a namespace; `server.py`)
                      └── inmate (process 1 of a namespace of its own; `confinement.py`)

A builder between keeper and server enters the namespaces and ends when the server is made. The caller ends a
sandbox by closing the control line; when that does not help, by SIGTERM to the keeper.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from data_filters.sandbox import cgroup, isolation, root, server, syscalls
from data_filters.sandbox.layers import Layer
from data_filters.sandbox.scratch import FolderScratch

_MESSAGE_BYTES = 1 << 16
_ENTERED = b"entered"


def main(configuration: str) -> None:
    """Keep a sandbox until it ends. `configuration` is what `server_process` wrote."""
    settings = json.loads(configuration)
    control = socket.socket(fileno=settings["control"])
    sys.path.extend(settings["libraries"])
    try:
        _Keeper(settings, control).keep()
    except Exception:  # whatever it is, the caller must hear of it: there is no standard error
        control.send(json.dumps({"trouble": traceback.format_exc(limit=-3)}).encode())


class _Keeper:
    def __init__(self, settings: dict[str, Any], control: socket.socket) -> None:
        self._settings = settings
        self._control = control
        without = frozenset(Layer(name) for name in settings["without"])
        user, group = isolation.inmate_user()
        self._isolation = isolation.Isolation(
            without=without,
            user=user,
            group=group,
            tree=root.contents(sys.base_prefix, sys.path, settings["package_root"]),
            scratch_on_disk=settings["scratch_folder"] if Layer.SCRATCH in without else None,
        )
        self._group = cgroup.Group()
        self._folder = FolderScratch(settings["scratch_folder"], user, group)
        self._child: int | None = None

    def keep(self) -> None:
        """Make the server, wait for its end, and remove what it may have left."""
        server.warm_up(self._settings["preload"])
        syscalls.adopt_orphans()
        signal.signal(signal.SIGTERM, self._end_child)
        self._isolation.attempt(Layer.CGROUP, self._group.make)
        self._isolation.attempt(Layer.USER_NAMESPACE, self._try_user_namespace)
        if self._isolation.scratch_on_disk is not None:
            self._folder.prepare()
        line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        builder = os.fork()
        if builder == 0:
            line.close()
            self._build(theirs)
        theirs.close()
        self._child = builder
        try:
            self._attend(line, builder)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self._group.remove()
            self._folder.remove()

    def _attend(self, line: socket.socket, builder: int) -> None:
        """Do for the builder what only an outsider can, then let the server go and wait for it."""
        while message := line.recv(_MESSAGE_BYTES):
            request = json.loads(message)
            if "map" in request:
                line.send(_map_user(builder, *request["map"]).encode())
            else:
                os.waitpid(builder, 0)
                self._child = request["server"]
                self._control.close()
                line.send(b"go")
                os.waitpid(self._child, 0)
                return
        os.waitpid(builder, 0)

    def _try_user_namespace(self) -> None:
        """Raises OSError when no user can be mapped: the builder could not undo it."""
        line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child = os.fork()
        if child == 0:
            try:
                line.close()
                syscalls.unshare(syscalls.CLONE_NEWUSER)
                theirs.send(_ENTERED)
                theirs.recv(_MESSAGE_BYTES)
            except OSError as error:
                theirs.send(str(error).encode())
            finally:
                os._exit(0)
        theirs.close()
        answer = line.recv(_MESSAGE_BYTES)
        user, group = self._isolation.user, self._isolation.group
        problem = _map_user(child, user, group) if answer == _ENTERED else answer.decode()
        line.close()
        os.waitpid(child, 0)
        if problem:
            raise OSError(problem)

    def _end_child(self, *_: object) -> None:
        if self._child is None:
            sys.exit()
        os.kill(self._child, signal.SIGKILL)

    def _build(self, line: socket.socket) -> NoReturn:
        """Enter isolation and make the server in it."""
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if self._isolation.has(Layer.CGROUP):
                self._isolation.attempt(Layer.CGROUP, self._group.join)
            line.send(json.dumps({"server": self._fork_server(line)}).encode())
        except BaseException:  # this process must not come back into the keeper's frames
            self._control.send(json.dumps({"trouble": traceback.format_exc(limit=-3)}).encode())
        finally:
            os._exit(0)

    def _fork_server(self, line: socket.socket) -> int:
        processes = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)

        def map_user(user: int, group: int) -> None:
            line.send(json.dumps({"map": [user, group]}).encode())
            if refusal := line.recv(_MESSAGE_BYTES).decode():
                raise PermissionError(refusal)

        isolation.enter(self._isolation, map_user)
        made = os.fork()
        if made:
            return made
        try:
            self._serve(line, processes)
        except BaseException:  # nor must the server
            self._control.send(json.dumps({"trouble": traceback.format_exc(limit=-3)}).encode())
        finally:
            os._exit(0)

    def _serve(self, line: socket.socket, processes: int) -> None:
        # The builder has ended when the keeper speaks, so that the parent to die with is the keeper.
        if not line.recv(_MESSAGE_BYTES):
            return
        syscalls.die_with_parent(signal.SIGKILL)
        line.close()
        server.Server(self._control, self._isolation, self._group, self._folder, processes).serve()


def _map_user(process: int, user: int, group: int) -> str:
    """Let a process be one user, known inside and outside by the same number; what speaks against it, or ""."""
    folder = Path(f"/proc/{process}")
    try:
        if user == os.geteuid():
            (folder / "setgroups").write_text("deny")
        (folder / "uid_map").write_text(f"{user} {user} 1")
        (folder / "gid_map").write_text(f"{group} {group} 1")
    except OSError as error:
        return f"no user can be mapped: {error.strerror}"
    return ""
