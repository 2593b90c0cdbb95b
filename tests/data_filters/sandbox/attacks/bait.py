"""What a hostile candidate is tempted with: files, sockets and a process that it must not be able to touch."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Self

SECRET_VARIABLE = "HERMES_TRAIN_ATTACK_SECRET"
_STRANGER = (
    "import ctypes, time; kept = ctypes.create_string_buffer(8); "
    "print(ctypes.addressof(kept), flush=True); time.sleep(3600)"
)


class Bait:
    """Set out on entry and taken away on exit; `harm` says what became of it."""

    def __init__(self, flood_bytes: int) -> None:
        self._flood_bytes = flood_bytes
        self.marker = f"hermes-train-attack-{uuid.uuid4().hex[:8]}"
        self._secret = uuid.uuid4().hex

    def __enter__(self) -> Self:
        self.root = Path(tempfile.mkdtemp(prefix="bait-"))
        # Open to every user, so that no mere file permission can pass for a sandbox.
        self.root.chmod(0o755)
        for name in ("home", "data"):
            (self.root / name).mkdir()
            (self.root / name).chmod(0o777)
        for path in self._files:
            path.write_text(self._secret)
            path.chmod(0o666)
        self._secret_before = os.environ.get(SECRET_VARIABLE)
        os.environ[SECRET_VARIABLE] = self._secret
        self._listen()
        self._stranger = subprocess.Popen(
            [sys.executable, "-c", _STRANGER], stdout=subprocess.PIPE, text=True
        )
        assert self._stranger.stdout is not None
        self._address = int(self._stranger.stdout.readline())
        self._priority = self._priority_of_stranger()
        return self

    def __exit__(self, *_: object) -> None:
        self._stranger.kill()
        self._stranger.communicate()
        for listener in (*self._listeners, self._datagrams):
            listener.close()
        if self._secret_before is None:
            del os.environ[SECRET_VARIABLE]
        else:
            os.environ[SECRET_VARIABLE] = self._secret_before
        shutil.rmtree(self.root)

    @property
    def _files(self) -> tuple[Path, Path]:
        return self.root / "home" / "private", self.root / "data" / "tests.jsonl"

    def _listen(self) -> None:
        self._abstract = f"{self.marker}-bait"
        self._socket_file = str(self.root / "data" / "daemon.socket")
        tcp, abstract, file = socket.socket(), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        tcp.bind(("127.0.0.1", 0))
        abstract.bind("\0" + self._abstract)
        file.bind(self._socket_file)
        Path(self._socket_file).chmod(0o666)
        self._listeners = (tcp, abstract, file)
        for listener in self._listeners:
            listener.listen()
            listener.setblocking(False)
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", 0))
        self._datagrams.setblocking(False)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.free_port = probe.getsockname()[1]

    def facts(self) -> dict[str, object]:
        """What candidates are told: where everything is, and what to call what they leave."""
        devices = [name for _, name in socket.if_nameindex() if name != "lo"]
        return {
            "marker": self.marker,
            "secret": self._secret,
            "folder": str(self.root / "data"),
            "home": str(self.root / "home"),
            "home_file": str(self._files[0]),
            "port": self._listeners[0].getsockname()[1],
            "free_port": self.free_port,
            "datagram_port": self._datagrams.getsockname()[1],
            "abstract": self._abstract,
            "socket": self._socket_file,
            "device": devices[0] if devices else "no device",
            "process": self._stranger.pid,
            "address": self._address,
            "flood_bytes": self._flood_bytes,
        }

    def harm(self) -> list[str]:
        """What was done to the bait since it was set out, or since the last call."""
        found = []
        if self._stranger.poll() is not None:
            found.append("a process outside was killed")
        elif self._priority_of_stranger() != self._priority:
            found.append("a process outside was changed")
        if any(not path.is_file() or path.read_text() != self._secret for path in self._files):
            found.append("a file outside was changed")
        for folder in ("home", "data"):
            strange = {path.name for path in (self.root / folder).iterdir()}
            strange -= {"private", "tests.jsonl", "daemon.socket"}
            found += [f"file {name} in the {folder} folder" for name in sorted(strange)]
        if self._contacts():
            found.append("a socket outside was reached")
        return found

    def _priority_of_stranger(self) -> tuple[object, ...]:
        pid = self._stranger.pid
        limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        return limit, os.getpriority(os.PRIO_PROCESS, pid), os.sched_getaffinity(pid)

    def _contacts(self) -> int:
        contacts = 0
        for listener in self._listeners:
            try:
                listener.accept()[0].close()
                contacts += 1
            except BlockingIOError:
                continue
        try:
            self._datagrams.recv(100)
            contacts += 1
        except BlockingIOError:
            pass
        return contacts
