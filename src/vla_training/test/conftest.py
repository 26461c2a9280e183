from pathlib import Path

import pytest
import torch
from bag_making import Recording, make_contract, record, write_recording
from tiny_runs import tiny_config

from vla_core.bundle import PolicyBundle
from vla_core.contract import Contract
from vla_simulation.environment import DockingEnv
from vla_training.conversion.pipeline import convert
from vla_training.export import export_bundle
from vla_training.trainer import TrainingResult, train

# The tests' tensors are small: more threads only wait for each other.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def contract() -> Contract:
    return make_contract()


@pytest.fixture(scope="session")
def recordings() -> list[Recording]:
    env = DockingEnv("nominal")
    try:
        return [record(env, seed, ticks=40 + 5 * seed) for seed in range(6)]
    finally:
        env.close()


@pytest.fixture(scope="session")
def bags(tmp_path_factory: pytest.TempPathFactory, recordings: list[Recording]) -> Path:
    """A folder with six bags of successful episodes."""
    folder = tmp_path_factory.mktemp("bags")
    for recording in recordings:
        write_recording(folder / f"episode_{recording.seed}", recording)
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, bags: Path, contract: Contract) -> Path:
    """A data set of the six bags, two of them for validation."""
    path = tmp_path_factory.mktemp("data") / "data.h5"
    convert([bags], path, contract, validation_fraction=0.3, jobs=1, progress=False)
    return path


@pytest.fixture(scope="session")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """A finished tiny run."""
    return train(tiny_config(dataset, tmp_path_factory.mktemp("run")), progress=False)


@pytest.fixture(scope="session")
def bundle(trained: TrainingResult, tmp_path_factory: pytest.TempPathFactory) -> PolicyBundle:
    """The tiny run's policy, exported."""
    return export_bundle(
        trained.checkpoint,
        tmp_path_factory.mktemp("bundles") / "tiny",
        evaluation={"suite": "nominal", "successes": 1, "records": []},
    )
