"""Several processes train as one: real processes, started by torchrun."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_runs import tiny_config, write_config

from vla_training.checkpoints import Checkpoint, load_checkpoint
from vla_training.errors import ConfigurationError
from vla_training.trainer import train
from vla_training.training_checks import check_and_resolve

SCRIPT = Path(__file__).with_name("training_process.py")

# A batch of which each of two processes takes two shards: cut-off chunks, unknown poses,
# augmentation and lost streams are spread unevenly.
SHARED = ("shards=4", "batch_size=12", "steps=6", "validate_every=3", "model.fusion.dropout=0.0")


def start(processes: int, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", str(SCRIPT), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.fixture(scope="module")
def alone(dataset, tmp_path_factory) -> Checkpoint:
    """The run in this process."""
    config = tiny_config(dataset, tmp_path_factory.mktemp("alone"), *SHARED)
    return load_checkpoint(train(config, progress=False).checkpoint)


@pytest.fixture(scope="module")
def together(dataset, tmp_path_factory) -> dict[str, Path]:
    """The run in two processes: with whole copies, in parts, and in parts up to step 3."""
    folder = tmp_path_factory.mktemp("together")
    arguments = []
    for name, strategy, stop in (("ddp", "ddp", ""), ("fsdp", "fsdp", ""), ("half", "fsdp", "@3")):
        config = tiny_config(dataset, folder / name, *SHARED, f"strategy={strategy}")
        arguments.append(f"{write_config(config, folder / f'{name}.yaml')}{stop}")
    done = start(2, *arguments)
    assert done.returncode == 0, done.stderr
    return {name: folder / name for name in ("ddp", "fsdp", "half")}


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_two_processes_train_as_one(alone, together, name):
    other = load_checkpoint(together[name])
    assert other.step == alone.step
    assert_close(other.weights, alone.weights)
    assert_close(other.trainer["weights"], alone.trainer["weights"])
    for number, moments in alone.trainer["optimizer"]["state"].items():
        assert_close(other.trainer["optimizer"]["state"][number], moments)
    assert other.metrics == pytest.approx(alone.metrics, abs=1e-4)


def test_what_two_processes_hold_in_parts_one_can_go_on_with(dataset, alone, together):
    assert load_checkpoint(together["half"]).step == 3
    config = tiny_config(dataset, together["half"], *SHARED)
    resumed = load_checkpoint(train(config, resume=True, progress=False).checkpoint)
    assert resumed.step == alone.step
    assert_close(resumed.weights, alone.weights)


def test_a_batch_that_cannot_be_shared_is_refused(dataset, tmp_path):
    config = tiny_config(dataset, tmp_path, "shards=3", "accumulate=2", "batch_size=10")
    with pytest.raises(ConfigurationError) as caught:
        check_and_resolve(config, processes=2)
    assert "choose a multiple of 4" in caught.value.mistakes[0]
    assert "cut into 3 shards" in caught.value.mistakes[1]
    fits = dataclasses.replace(config, shards=0, batch_size=16)
    assert check_and_resolve(fits, processes=2).shards == 4


def assert_close(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, atol=2e-5, rtol=1e-4, msg=name)
