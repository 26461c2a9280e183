import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_runs import tiny_config, write_config

from vla_training.checkpoints import load_checkpoint
from vla_training.trainer import train

SCRIPT = Path(__file__).with_name("training_process.py")
LIMIT_S = 120.0


@pytest.fixture
def config(dataset, tmp_path):
    """Everything that has a state: moments, averages, two micro-batches, dropout, lost streams."""
    return tiny_config(
        dataset, tmp_path / "whole", "steps=60", "accumulate=2", "validate_every=4", "batch_size=6"
    )


def test_killed_and_resumed_ends_with_the_bits_of_an_uninterrupted_run(config, tmp_path):
    folder = tmp_path / "killed"
    doomed = dataclasses.replace(config, output=str(folder))
    checkpoint = folder / "checkpoint.pt"
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), str(write_config(doomed, tmp_path / "killed.yaml"))],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        wait_for(checkpoint.is_file, process)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    stopped_at = load_checkpoint(checkpoint).step
    assert 4 <= stopped_at < 60
    # What a write that was cut off leaves behind.
    (folder / ".checkpoint.pt.0123.partial").write_bytes(checkpoint.read_bytes()[:100])
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 56, "training": {"act')
    resumed = load_checkpoint(train(doomed, resume=True, progress=False).checkpoint)
    whole = load_checkpoint(train(config, progress=False).checkpoint)
    assert_same(resumed.weights, whole.weights)
    assert_same(resumed.trainer, whole.trainer)
    assert resumed.metrics == whole.metrics
    assert not list(folder.glob("*.partial")) + list(folder.glob(".*.partial"))
    logs = [
        [json.loads(line) for line in (run / "metrics.jsonl").open()]
        for run in (folder, Path(config.output))
    ]
    for ours, theirs in zip(*logs, strict=True):
        assert ours["step"] == theirs["step"]
        assert ours["training"] == theirs["training"]
        assert ours["validation"] == theirs["validation"]


def wait_for(condition, process) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert process.poll() is None, "training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def assert_same(got, expected) -> None:
    """Equal to the bit, whatever is nested in what."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(got, expected)
    elif isinstance(expected, dict):
        assert got.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(got[key], value)
    elif isinstance(expected, list | tuple):
        for ours, theirs in zip(got, expected, strict=True):
            assert_same(ours, theirs)
    else:
        assert got == expected
