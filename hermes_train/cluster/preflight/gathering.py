"""What a host finds on itself: software, code, recipe, environment, folders. No other host is needed for it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import uuid
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import psutil

import data_filters
import hermes_train
from hermes_train.cluster.preflight.facts import Folder, OwnFacts
from hermes_train.cluster.preflight.gpus import look_at_gpus
from hermes_train.recipe.load import LoadedRecipe
from hermes_train.recipe.tree import dotted, leaves

PACKAGES = ("torch", "transformers", "trl", "deepspeed", "accelerate")
"""Packages whose versions change what is trained, beside our own."""

_CHANGES_RESULTS = ("NCCL_", "TORCH_", "PYTORCH_", "CUDA_", "CUBLAS_", "OMP_NUM_THREADS", "DS_")
"""How the names of variables begin that change results or speed; hosts of one job should agree on them."""

_SOURCES = {".py", ".jinja", ".html", ".css", ".js"}


def look_at_host(loaded: LoadedRecipe, run_folder: Path, environment: Mapping[str, str]) -> OwnFacts:
    """Return what is found on this host; `environment` is what the process was started with."""
    cache = environment.get("HERMES_LOCAL_CACHE")
    gpus, driver, untold = ((), {}, ()) if loaded.recipe.cluster.gpu == "none" else look_at_gpus()
    return OwnFacts(
        versions=_versions() | driver,
        code=code_fingerprint(),
        code_folder=str(Path(hermes_train.__file__).parent),
        recipe={dotted(path): json.dumps(value) for path, value in leaves(dict(loaded.values))},
        environment={name: value for name, value in environment.items() if name.startswith(_CHANGES_RESULTS)},
        run_folder=look_at_folder(run_folder),
        cache=look_at_folder(Path(cache)) if cache else None,
        gpus=gpus,
        untold=untold,
    )


def look_at_folder(folder: Path) -> Folder:
    """Return what this host sees of a folder, in which it writes a file and removes it again."""
    try:
        if not folder.is_dir():
            return Folder(str(folder), problem="there is no such folder")
        probe = folder / f".preflight-{uuid.uuid4().hex}"
        probe.write_bytes(b"\0")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Folder(str(folder), _filesystem(folder), problem=error.strerror or str(error))
    return Folder(str(folder), _filesystem(folder), free)


def code_fingerprint() -> str:
    """Return a name for the sources of this package, by the names and contents of its files."""
    digest = hashlib.blake2b(digest_size=8)
    for package in (hermes_train, data_filters):
        folder = Path(str(package.__file__)).parent
        for path in sorted(path for path in folder.rglob("*") if path.suffix in _SOURCES):
            digest.update(f"{path.relative_to(folder.parent)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    found = {"hermes-train": hermes_train.__version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _filesystem(folder: Path) -> str:
    """Return the kind and the source of the file system that `folder` lies on."""
    place = os.path.realpath(folder)
    above = [
        partition
        for partition in psutil.disk_partitions(all=True)
        if os.path.commonpath([partition.mountpoint, place]) == partition.mountpoint
    ]
    if not above:
        return ""
    nearest = max(above, key=lambda partition: len(partition.mountpoint))
    return f"{nearest.fstype} {nearest.device}".strip()
