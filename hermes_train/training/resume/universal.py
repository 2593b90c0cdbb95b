"""A sharded checkpoint continued on another number of ranks, by way of DeepSpeed's universal form.

Beside `checkpoint-500/global_step500`, which has a part of everything for each rank, the conversion writes
`checkpoint-500/global_step500_universal`, which has a folder for each weight:

    zero/model.norm.weight/{fp32,exp_avg,exp_avg_sq}.pt     the weight and AdamW's two averages of its gradients

and `checkpoint-500/latest_universal` with the folder's name; at last this module writes `universal_files.json`, the
bytes of each file. It is done once, by rank 0 in a process of its own, before the ranks join, so that none of them
waits in a collective call for hours; a form that was damaged since is made anew. DeepSpeed loads it on any number of
ranks; a single process, which trains without DeepSpeed, loads it here.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import torch

from data_filters.errors import RunFailedError
from hermes_train.runs import write_json
from hermes_train.training import ranks
from hermes_train.training.resume.checkpoints import changed_file, file_sizes, step_of

_MARK = "latest_universal"
_SIZES = "universal_files.json"
_MOMENTS = ("exp_avg", "exp_avg_sq")


def is_converted(checkpoint: Path) -> bool:
    """Say whether a checkpoint has a universal form that is whole."""
    try:
        sizes = msgspec.json.decode((checkpoint / _SIZES).read_bytes(), type=dict[str, int])
    except (FileNotFoundError, msgspec.DecodeError):
        return False
    return (checkpoint / _MARK).is_file() and changed_file(_folder(checkpoint), sizes) is None


def convert(checkpoint: Path) -> None:
    """Give a sharded checkpoint its universal form, unless it has one. Rank 0 does it; the others wait.

    Raises RunFailedError on rank 0 where DeepSpeed cannot do it; the launcher then ends the others.
    """
    if ranks.is_main() and not is_converted(checkpoint):
        _convert(checkpoint)
    ranks.wait_until(lambda: is_converted(checkpoint))


def _convert(checkpoint: Path) -> None:
    sharded = checkpoint / (checkpoint / "latest").read_text(encoding="utf-8").strip()
    folder = sharded.with_name(sharded.name + "_universal")
    # What a killed conversion left, or one that was damaged since.
    (checkpoint / _SIZES).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--inject_missing_state"]
    folders = ["--input_folder", str(sharded), "--output_folder", str(folder)]
    done = subprocess.run([*command, *folders], capture_output=True, text=True, check=False)
    if done.returncode:
        *_, last = done.stderr.strip().splitlines() or ["no word of it"]
        shutil.rmtree(folder, ignore_errors=True)
        raise RunFailedError(
            f"{checkpoint} cannot be converted for another number of ranks: {last}; continue on as many ranks as it "
            "was saved by"
        )
    write_json(checkpoint / _SIZES, file_sizes(_folder(checkpoint)))


def load_weights(checkpoint: Path, model: torch.nn.Module) -> None:
    """Fill the trainable parameters of a model that is whole in this process."""
    folder = _weights(checkpoint)
    with torch.no_grad():
        for name, parameter in _trainable(model):
            parameter.copy_(_read(folder / name / "fp32.pt", parameter))


def load_optimizer(checkpoint: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Fill the state of PyTorch's AdamW over the trainable parameters of `model`."""
    folder, step = _weights(checkpoint), float(step_of(checkpoint))
    # Accelerate wraps the optimizer.
    inner = getattr(optimizer, "optimizer", optimizer)
    for name, parameter in _trainable(model):
        moments = {key: _read(folder / name / f"{key}.pt", parameter) for key in _MOMENTS}
        # The fused AdamW reads the number of steps on the parameter's device.
        inner.state[parameter] = {"step": torch.tensor(step, device=parameter.device), **moments}


def _folder(checkpoint: Path) -> Path:
    return checkpoint / (checkpoint / _MARK).read_text(encoding="utf-8").strip()


def _weights(checkpoint: Path) -> Path:
    return _folder(checkpoint) / "zero"


def _trainable(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def _read(path: Path, parameter: torch.nn.Parameter) -> torch.Tensor:
    """Return one stored value in the shape and on the device of its parameter, float32."""
    value = torch.load(path, map_location=parameter.device, weights_only=False)
    # Stage 3 stores the flat values, the others a dictionary.
    tensor: torch.Tensor = value["param"] if isinstance(value, dict) else value
    return tensor.float().view(parameter.shape)
