"""How fast shuffled training batches come: against numpy alone, and against LeRobot.

Two comparisons on the same frames. The floor is a memory map of one raw file per array, of which
numpy takes the same rows into the same arrays; nothing that reads rows from a file can do less. The
peer is LeRobot's own data set, made of the same frames with its recording interface, read with the
same batch size, horizon and number of workers, in its two modes (PNG images, and video).
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from vla_core import keys
from vla_core.contract import Contract
from vla_core.contract_specs import ImageDecoder, OdometryDecoder, ScanDecoder
from vla_training.benchmarks.lerobot_environment import LEROBOT_VERSION, lerobot_python, run_in
from vla_training.dataset.batch import DOCK_POSE_KNOWN, Batch
from vla_training.dataset.head import SplitChoice
from vla_training.dataset.windows import DockingDataset, ShuffledBatches, make_loader
from vla_training.errors import BenchmarkError
from vla_training.rollouts.options import RolloutOptions
from vla_training.rollouts.rollout import rollout

BATCH_SIZE: Final = 128
WORKERS: Final = (0, 2)
_ROUNDS: Final = 25
_WARM_UP: Final = 3
_MODES: Final = ("image", "video")
_FRAMES_OF_AN_EPISODE: Final = 200

Gather = Callable[[torch.Tensor], Any]


def run(
    quick: bool = False,
    out: Path | None = None,
    *,
    contract: Path | None = None,
    data: Path | None = None,
    peer: Path | None = None,
    with_peer: bool = False,
    frames: int | None = None,
) -> dict[str, Any]:
    """`vla bench load`.

    Args:
        quick: Fewer frames and batches.
        out: Folder for the raw files and LeRobot's data sets, some 100 kB a frame; None for a
            temporary one.
        contract: Of the simulated robot, for frames where no data set is given.
        data: Data set file whose training split is read; None to have the expert drive for one.
        peer: Environment with LeRobot, see `lerobot_environment.lerobot_python`.
        with_peer: Compare with LeRobot; installs it (8 GB) where `peer` or the user's cache does
            not have it.
        frames: Read so many frames, rounded up to whole episodes.

    Returns:
        `batch_size`, `batch_bytes`, `frames`; `samples_per_s` and `share_of_floor` by storage, each
        the median of many short rounds in turns, and `share_of_floor_quartiles`, the first and
        the third; `loader_samples_per_s` by number of DataLoader workers; and `peer`, LeRobot's
        figures by mode, with `times_faster` by number of workers.

    Raises:
        BenchmarkError: If neither a data set nor a contract is given, or LeRobot cannot be used.
        DatasetError: If the data set cannot be used.
    """
    frames = frames or (2000 if quick else 8000)
    batches = 5 if quick else 25
    with tempfile.TemporaryDirectory(dir=out) as name:
        folder = Path(name)
        if data is None:
            data = _driven(folder / "driven.h5", contract, frames)
        episodes = _episodes_with(data, frames)
        answer = _against_floor(data, episodes, folder, batches)
        rates = {
            str(workers): _loader_rate(data, episodes, workers, batches) for workers in WORKERS
        }
        answer["loader_samples_per_s"] = rates
        if with_peer or peer is not None:
            answer["peer"] = _against_peer(data, episodes, folder, peer, rates, quick)
    return answer


def _driven(path: Path, contract: Path | None, frames: int) -> Path:
    """A data set with about so many frames to train on, driven by the expert in simulation."""
    if contract is None:
        raise BenchmarkError(
            "vla bench load needs frames; name a data set (made by vla convert), or the contract "
            "of the simulated robot"
        )
    episodes = math.ceil(frames / _FRAMES_OF_AN_EPISODE)
    split = SplitChoice(validation_fraction=0.0, test_fraction=0.0)
    rollout(
        path, range(episodes), RolloutOptions(Contract.load(contract)), split=split, progress=False
    )
    return path


def _episodes_with(path: Path, frames: int) -> int:
    """How many training episodes have so many frames together."""
    lengths = [record.length for record in DockingDataset(path, storage="mapped").episodes]
    return int(np.searchsorted(np.cumsum(lengths), frames)) + 1


def _against_floor(path: Path, episodes: int, folder: Path, batches: int) -> dict[str, Any]:
    """Rates of all storages in turns with the floor, so that a busy machine slows all alike."""
    datasets = {
        storage: DockingDataset(path, storage=storage, limit_episodes=episodes)
        for storage in ("memory", "mapped")
    }
    if torch.cuda.is_available():
        datasets["device"] = DockingDataset(
            path, storage="device", device="cuda", limit_episodes=episodes
        )
    data = datasets["memory"]
    size = min(BATCH_SIZE, len(data))
    floor = BareGather(datasets["memory"], folder)
    gathers: dict[str, Gather] = {"floor": floor}
    gathers.update({name: dataset.batch for name, dataset in datasets.items()})
    _check_equal(floor, data, size)
    rates: dict[str, list[float]] = {name: [] for name in gathers}
    for turn in range(_ROUNDS):
        for name, gather in gathers.items():
            shuffle = ShuffledBatches(len(data), size, seed=turn)
            rates[name].append(_rate(gather, shuffle, batches))
    against = {
        name: np.divide(values, rates["floor"]) for name, values in rates.items() if name != "floor"
    }
    whole = data.batch(torch.arange(size)).values()
    return {
        "batch_size": size,
        "batch_bytes": sum(value.numel() * value.element_size() for value in whole),
        "frames": data.frames,
        "samples_per_s": {name: round(float(np.median(v)), 1) for name, v in rates.items()},
        "share_of_floor": {name: round(float(np.median(v)), 3) for name, v in against.items()},
        "share_of_floor_quartiles": {
            name: np.percentile(v, (25, 75)).round(3).tolist() for name, v in against.items()
        },
    }


class BareGather:
    """The least that reading a batch from files can cost: numpy on memory maps, nothing else.

    Args:
        data: Whose samples; its own batches are written to raw files.
        folder: For these files.
    """

    def __init__(self, data: DockingDataset, folder: Path) -> None:
        horizon = data.contract.action.chunk_length
        whole: dict[str, list[np.ndarray]] = {}
        for batch in data.batches(BATCH_SIZE):
            for key, value in batch.items():
                whole.setdefault(key, []).append(value.numpy())
        count = len(data)
        self._maps = {}
        for key, parts in whole.items():
            # Of a chunk, the file holds the actions one after the other, as a data set does.
            parts = [part[:, 0] for part in parts] if key == keys.ACTION else parts
            path = folder / f"{key}.raw"
            with path.open("wb") as file:
                for part in parts:
                    file.write(np.ascontiguousarray(part).tobytes())
            shape = (count, *parts[0].shape[1:])
            self._maps[key] = np.memmap(path, parts[0].dtype, "r", shape=shape)
        chunks = np.arange(count)[:, None] + np.arange(horizon)
        self._chunks = np.minimum(chunks, count - 1)

    def __call__(self, indices: torch.Tensor) -> dict[str, np.ndarray]:
        """The arrays of `DockingDataset.batch`."""
        rows = indices.numpy()
        return {
            key: data[self._chunks[rows]] if key == keys.ACTION else data[rows]
            for key, data in self._maps.items()
        }


def _check_equal(floor: BareGather, data: DockingDataset, size: int) -> None:
    """Both have to give the same; actions beyond an episode or without a row excepted."""
    indices = ShuffledBatches(len(data), size, seed=0).indices(0)
    bare, batch = floor(indices), data.batch(indices)
    for key, value in batch.items():
        expected, got = value.numpy(), bare[key]
        if key == keys.ACTION:
            expected, got = expected[:, 0], got[:, 0]
        if got.shape != expected.shape or not np.array_equal(got, expected):
            raise BenchmarkError(f"{key} differs between the data set and its raw copy")


def _rate(gather: Gather, shuffle: ShuffledBatches, batches: int) -> float:
    """Samples per second."""
    orders = [shuffle.indices(step).clone() for step in range(_WARM_UP + batches)]
    for order in orders[:_WARM_UP]:
        _finish(gather(order))
    begun = time.perf_counter()
    for order in orders[_WARM_UP:]:
        _finish(gather(order))
    return batches * len(orders[0]) / (time.perf_counter() - begun)


def _finish(batch: Batch | dict[str, np.ndarray]) -> None:
    image = next(iter(batch.values()))
    if isinstance(image, torch.Tensor) and image.is_cuda:
        torch.cuda.synchronize()


def _loader_rate(path: Path, episodes: int, workers: int, batches: int) -> float:
    """Samples per second through a DataLoader."""
    data = DockingDataset(path, limit_episodes=episodes)
    loader = iter(make_loader(data, BATCH_SIZE, workers=workers))
    for _ in range(_WARM_UP + 2 * workers):
        next(loader)
    begun, count = time.perf_counter(), 0
    for _ in range(_ROUNDS * batches):
        count += len(next(loader)[DOCK_POSE_KNOWN])
    return round(count / (time.perf_counter() - begun), 1)


def _against_peer(
    path: Path,
    episodes: int,
    folder: Path,
    environment: Path | None,
    ours: dict[str, float],
    quick: bool,
) -> dict[str, Any]:
    """LeRobot's figures on the same frames."""
    python = lerobot_python(environment)
    data = DockingDataset(path, limit_episodes=episodes)
    frames = folder / "frames"
    export_frames(data, frames)
    wanted = {
        "frames": str(frames),
        "work": str(folder),
        "modes": _MODES,
        "rate_hz": round(data.contract.action.rate_hz),
        "horizon": data.contract.action.chunk_length,
        "batch_size": BATCH_SIZE,
        "workers": WORKERS,
        "seconds": 2.0 if quick else 10.0,
    }
    figures = run_in(python, Path(__file__).with_name("lerobot_peer.py"), wanted)
    for mode in figures.values():
        rates = mode["samples_per_s"]
        mode["times_faster"] = {key: round(ours[key] / rate, 1) for key, rate in rates.items()}
    return {"version": LEROBOT_VERSION, **figures}


def export_frames(data: DockingDataset, folder: Path) -> None:
    """Write all usable frames of a split as the peer reads them.

    Raises:
        BenchmarkError: If the contract lacks a camera, a scan or odometry.
    """
    folder.mkdir(parents=True)
    kinds = {"image": ImageDecoder, "scan": ScanDecoder, "odometry": OdometryDecoder}
    for name, kind in kinds.items():
        found = [s.key for s in data.contract.streams if isinstance(s.decoder, kind)]
        if not found:
            raise BenchmarkError(f"the contract has no {name}, which the comparison needs")
        _save(folder / f"{name}.npy", [batch[found[0]].numpy() for batch in data.batches(1024)])
    _save(folder / "action.npy", [b[keys.ACTION][:, 0].numpy() for b in data.batches(1024)])
    episodes = [
        {"start": part.start, "length": len(part), "instruction": record.instruction}
        for part, record in zip(data.samples_of_episodes(), data.episodes, strict=True)
        if part
    ]
    (folder / "episodes.json").write_text(json.dumps(episodes), encoding="utf-8")


def _save(path: Path, parts: Sequence[np.ndarray]) -> None:
    np.save(path, np.concatenate(parts))
