"""The GPUs of this host: as CUDA offers them, and their state as the driver's nvidia-smi tells it.

nvidia-smi --query-gpu=uuid,memory.used,... --format=csv,noheader,nounits prints a line for each GPU; memory is in MiB:

    GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77, 4, 0, 0x0000000000000001, 570.86.15
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hermes_train.cluster.preflight.facts import Gpu

MIB = 2**20

SLOWED_BY = {
    0x08: "hardware slowdown (too hot, or the power supply)",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake of the machine",
}
"""The bits of NVML's reasons for lower clocks that nothing but the machine explains. Idle, set clocks and the power cap
are no faults."""

_STATE = ("uuid", "memory.used", "ecc.errors.uncorrected.volatile.total", "{clocks}.active", "driver_version")
_CLOCKS = ("clocks_event_reasons", "clocks_throttle_reasons")
"""What drivers call it, since 535 and before."""
_PROCESSES = ("gpu_uuid", "pid", "process_name")
_ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class DriverState:
    """What nvidia-smi tells of one GPU; None where it says that it does not know."""

    uuid: str
    used: int | None
    uncorrected_errors: int | None
    slowed_by: tuple[str, ...] | None
    driver: str


class _NoAnswerError(Exception):
    """nvidia-smi does not tell; the text is why."""


def look_at_gpus() -> tuple[tuple[Gpu, ...], dict[str, str], tuple[str, ...]]:
    """Return the GPUs that CUDA offers here, the versions beneath them by name, and what could not be looked at."""
    # Before CUDA is touched here: what is in use then is another's.
    states, untold = _asked_driver()
    import torch

    if not torch.cuda.is_available():
        return (), {}, ()
    gpus = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        state, users = states.get(f"GPU-{properties.uuid}", (None, ()))
        gpus.append(joined(properties.name, properties.total_memory, state, users))
    versions = {"CUDA runtime": str(torch.version.cuda)}
    if torch.distributed.is_nccl_available():
        versions["NCCL"] = ".".join(map(str, torch.cuda.nccl.version()))
    if states:
        versions["CUDA driver"] = next(iter(states.values()))[0].driver
    return tuple(gpus), versions, (*untold, *_not_told(gpus if states else []))


def joined(name: str, memory: int, state: DriverState | None, users: tuple[str, ...]) -> Gpu:
    """Return what CUDA and the driver tell of one GPU."""
    if state is None:
        return Gpu(name, memory)
    return Gpu(name, memory, state.used, users, state.uncorrected_errors, state.slowed_by)


def read_states(text: str) -> list[DriverState]:
    """Return what nvidia-smi printed, one GPU a line."""
    states = []
    for line in filter(None, map(str.strip, text.splitlines())):
        uuid, used, errors, reasons, driver = (field.strip() for field in line.split(","))
        megabytes, bits = _number(used), _number(reasons)
        states.append(
            DriverState(
                uuid=uuid,
                used=None if megabytes is None else megabytes * MIB,
                uncorrected_errors=_number(errors),
                slowed_by=None
                if bits is None
                else tuple(text for bit, text in SLOWED_BY.items() if bits & bit),
                driver=driver,
            )
        )
    return states


def read_processes(text: str) -> dict[str, tuple[str, ...]]:
    """Return by the GPU's UUID the processes that nvidia-smi printed: `GPU-5d5b..., 4711, /usr/bin/python3`."""
    found: dict[str, tuple[str, ...]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        uuid, process, name = (field.strip() for field in line.split(",", 2))
        found[uuid] = (*found.get(uuid, ()), f"{name} (process {process})")
    return found


def _asked_driver() -> tuple[Mapping[str, tuple[DriverState, tuple[str, ...]]], tuple[str, ...]]:
    try:
        states = _asked_states()
        users = read_processes(_ask("--query-compute-apps", _PROCESSES))
    except _NoAnswerError as error:
        return {}, (f"errors, clocks and leftovers on GPUs: {error}",)
    return {state.uuid: (state, users.get(state.uuid, ())) for state in states}, ()


def _asked_states() -> list[DriverState]:
    new, old = _CLOCKS
    try:
        return _states_with(new)
    except _NoAnswerError:
        return _states_with(old)


def _states_with(clocks: str) -> list[DriverState]:
    return read_states(_ask("--query-gpu", [field.format(clocks=clocks) for field in _STATE]))


def _ask(query: str, fields: Sequence[str]) -> str:
    command = ["nvidia-smi", f"{query}={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False)
    except FileNotFoundError as error:
        raise _NoAnswerError("nvidia-smi is not here") from error
    except subprocess.TimeoutExpired as error:
        raise _NoAnswerError(f"nvidia-smi gave no answer in {_ANSWER_SECONDS:g} s") from error
    if done.returncode:
        raise _NoAnswerError(
            f"nvidia-smi failed: {' '.join((done.stdout + done.stderr).split())[:200] or 'no word'}"
        )
    return done.stdout


def _number(text: str) -> int | None:
    """Return a number in decimal or hexadecimal form; None for `[N/A]` and `[Not Supported]`."""
    try:
        return int(text, 0)
    except ValueError:
        return None


def _not_told(gpus: list[Gpu]) -> list[str]:
    told = {
        "errors of the GPUs' memory": all(gpu.uncorrected_errors is not None for gpu in gpus),
        "clocks of the GPUs": all(gpu.slowed_by is not None for gpu in gpus),
        "memory in use on the GPUs": all(gpu.used is not None for gpu in gpus),
    }
    return [f"{what}: the driver does not tell" for what, is_told in told.items() if not is_told]
