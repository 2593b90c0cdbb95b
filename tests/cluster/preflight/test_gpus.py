"""What nvidia-smi prints."""

import pytest

from hermes_train.cluster.preflight.gpus import read_processes, read_states


@pytest.mark.parametrize(
    ("line", "used", "errors", "slowed_by"),
    [
        ("GPU-5d5b, 4, 0, 0x0000000000000001, 570.86.15", 4 << 20, 0, ()),
        (
            "GPU-5d5b, 40960, 3, 0x0000000000000048, 570.86.15",
            40 << 30,
            3,
            ("hardware slowdown (too hot, or the power supply)", "hardware thermal slowdown"),
        ),
        ("GPU-5d5b, [N/A], [N/A], [Not Supported], 570.86.15", None, None, None),
    ],
)
def test_the_drivers_lines_are_read(line, used, errors, slowed_by):
    [state] = read_states(line + "\n\n")

    assert (state.uuid, state.driver) == ("GPU-5d5b", "570.86.15")
    assert (state.used, state.uncorrected_errors, state.slowed_by) == (used, errors, slowed_by)


def test_processes_on_gpus_are_read():
    found = read_processes("GPU-a, 4711, /usr/bin/python3\nGPU-a, 4712, python -c x, y\nGPU-b, 1, [N/A]\n")

    assert found["GPU-a"] == ("/usr/bin/python3 (process 4711)", "python -c x, y (process 4712)")
    assert found["GPU-b"] == ("[N/A] (process 1)",)
