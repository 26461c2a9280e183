"""How fast bags become a data set: against the least that can be done, and with more processes.

The floor is raw reading of the same bags (the rosbags reader: opening, and every message, nothing
decoded) plus writing as many bytes as the data set has, flushed to the disk. Conversion and floor
run in turns in one process; CPU time counts, so that a busy disk or machine slows neither.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from rosbags.rosbag2 import Reader

from vla_core.contract import Contract
from vla_training.benchmarks.long_bags import copy_with_seed, write_long_bag
from vla_training.conversion.pipeline import ConversionSummary, convert
from vla_training.errors import BenchmarkError

MAX_RATIO: Final = 1.5
"""What conversion may cost, in units of the floor."""

MIN_SPEED_UP: Final = 1.7
"""What two processes must bring."""

MAX_RSS_MB: Final = 1000.0
"""What converting a bag of 10 GB may hold in memory."""

FULL_GB: Final = 18.0
"""Disk that a bag of 10 GB and its data set take, with room to spare."""

_BAG_S: Final = 14.0
_BYTES_PER_S: Final = 1.25e6
_CHILD: Final = """
import sys
from pathlib import Path
from vla_core.contract import Contract
from vla_training.benchmarks.memory import peak_memory_mb
from vla_training.conversion.pipeline import ConversionSummary, convert
contract = Contract.load(sys.argv[1])
convert([Path(sys.argv[2])], Path(sys.argv[3]), contract, jobs=1, progress=False, strict=True)
print(peak_memory_mb())
"""


def run(
    quick: bool = False,
    out: Path | None = None,
    *,
    contract: Path | None = None,
    bags: Sequence[Path] | None = None,
    full: bool = False,
) -> dict[str, Any]:
    """`vla bench convert`.

    Args:
        quick: Fewer and shorter bags, fewer rounds.
        out: Folder for bags and data sets, some gigabytes; None for a temporary one.
        contract: Of the robot.
        bags: Measure these; None to make some.
        full: Convert a bag of 10 GB instead of extrapolating to it.

    Returns:
        `episodes` (bags of 14 s, as `vla collect` records them) and `long_bag` (where opening
        does not matter): CPU time per row, and its ratio to the floor; `processes`: speed-up of
        two over one; `memory`: peak resident size by size of the bag [MB].

    Raises:
        BenchmarkError: If no contract is given, or the disk is too full for a bag of 10 GB.
        ConversionError: If a bag cannot be used.
    """
    if contract is None:
        raise BenchmarkError("vla bench convert needs a contract; name one with --contract")
    rules = Contract.load(contract)
    with tempfile.TemporaryDirectory(dir=out) as name:
        folder = Path(name)
        if full:
            _check_space(folder, FULL_GB)
        paths = list(bags or _make_bags(folder / "bags", rules, 8 if quick else 24))
        rounds = 3 if quick else 7
        cpu = _against_floor(paths, folder, rules, rounds)
        answer: dict[str, Any] = {
            "episodes": {**cpu, "limit": MAX_RATIO, "within_limit": cpu["ratio"] <= MAX_RATIO}
        }
        long_bag = write_long_bag(folder / "long", rules, 60.0 if quick else 300.0)
        answer["long_bag"] = _against_floor([long_bag], folder, rules, rounds)
        shutil.rmtree(long_bag)
        answer["processes"] = _speed_up(folder, rules, 40 if quick else 400, 1 if quick else 3)
        sizes = (0.2, 0.4) if quick else (0.25, 0.5, 1.0)
        answer["memory"] = _peak_memory(folder, contract, rules, (*sizes, 10.0) if full else sizes)
    return answer


def _check_space(folder: Path, needed_gb: float) -> None:
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < needed_gb:
        raise BenchmarkError(
            f"{folder} is on a disk with {free_gb:.1f} GB free, a bag of 10 GB and its data set "
            f"take {needed_gb:.0f} GB; name a folder on another with --out, or leave out --full"
        )


def _make_bags(folder: Path, contract: Contract, count: int) -> list[Path]:
    folder.mkdir(parents=True)
    return [write_long_bag(folder / f"bag_{i}", contract, _BAG_S, seed=i) for i in range(count)]


def _against_floor(
    bags: Sequence[Path], folder: Path, contract: Contract, rounds: int
) -> dict[str, Any]:
    """Conversion and floor in turns, after one round that warms up both."""
    costs: list[float] = []
    floors: list[Floor] = []
    rows = 0
    for _ in range(rounds + 1):
        target = folder / "cpu"
        started = time.process_time()
        rows = _converting(bags, target, contract, jobs=1)().frames
        costs.append(time.process_time() - started)
        size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
        shutil.rmtree(target)
        floors.append(_floor(bags, folder / "floor.bin", size))
    ratios = np.divide(costs, [floor.total_s for floor in floors])[1:]

    def per_row(seconds: Iterable[float]) -> float:
        return round(float(np.median(list(seconds)[1:])) / rows * 1e6, 1)

    return {
        "bags": len(bags),
        "rows": rows,
        "conversion_us_per_row": per_row(costs),
        "floor_us_per_row": {
            "opening": per_row(floor.opening_s for floor in floors),
            "reading": per_row(floor.reading_s for floor in floors),
            "writing": per_row(floor.writing_s for floor in floors),
        },
        "ratio": round(float(np.median(ratios)), 3),
        "ratio_range": [round(float(ratios.min()), 3), round(float(ratios.max()), 3)],
        "rounds": rounds,
    }


class Floor(NamedTuple):
    """CPU time of the least that has to be done: opening, reading and writing."""

    opening_s: float
    reading_s: float
    writing_s: float

    @property
    def total_s(self) -> float:
        """All three."""
        return sum(self)


def _floor(bags: Sequence[Path], file: Path, size: int) -> Floor:
    """Read every message of the bags and write so many bytes."""
    block = os.urandom(1 << 20)
    opening_s = reading_s = 0.0
    for bag in bags:
        started = time.process_time()
        with Reader(bag) as reader:
            opened = time.process_time()
            for _ in reader.messages():
                pass
            reading_s += time.process_time() - opened
        opening_s += opened - started
    started = time.process_time()
    with file.open("wb") as stream:
        for position in range(0, size, len(block)):
            stream.write(block[: size - position])
        stream.flush()
        os.fsync(stream.fileno())
    writing_s = time.process_time() - started
    file.unlink()
    return Floor(opening_s, reading_s, writing_s)


def _speed_up(folder: Path, contract: Contract, count: int, rounds: int) -> dict[str, Any]:
    """Wall time with one and with two processes, in turns; starting them counts."""
    bags = folder / "many"
    bags.mkdir()
    first = write_long_bag(bags / "bag_0", contract, _BAG_S)
    for seed in range(1, count):
        copy_with_seed(first, bags / f"bag_{seed}", seed)
    walls: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for jobs, found in walls.items():
            found.append(_wall_s(_converting([bags], folder / "wall", contract, jobs)))
            shutil.rmtree(folder / "wall")
    gains = np.divide(walls[1], walls[2])
    gain = float(np.median(gains))
    return {
        "bags": count,
        "one_s": round(float(np.median(walls[1])), 2),
        "two_s": round(float(np.median(walls[2])), 2),
        "speed_up": round(gain, 3),
        "speed_up_range": [round(float(gains.min()), 3), round(float(gains.max()), 3)],
        "rounds": rounds,
        "limit": MIN_SPEED_UP,
        "within_limit": gain >= MIN_SPEED_UP,
    }


def _converting(
    bags: Sequence[Path], folder: Path, contract: Contract, jobs: int
) -> Callable[[], ConversionSummary]:
    return lambda: convert(
        bags, folder / "data.h5", contract, jobs=jobs, progress=False, strict=True
    )


def _wall_s(work: Callable[[], Any]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _peak_memory(
    folder: Path, contract_path: Path, contract: Contract, sizes_gb: Sequence[float]
) -> dict[str, Any]:
    """Peak resident size of a process that converts one bag, by the size of the bag."""
    found: dict[float, float] = {}
    for size_gb in sizes_gb:
        bag = write_long_bag(folder / "long", contract, size_gb * 1e9 / _BYTES_PER_S)
        gigabytes = sum(file.stat().st_size for file in bag.iterdir()) / 1e9
        arguments = [str(contract_path), str(bag), str(folder / "memory" / "data.h5")]
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchmarkError(f"converting {bag} failed: {done.stderr.strip().splitlines()[-1]}")
        found[round(gigabytes, 3)] = float(done.stdout)
        shutil.rmtree(bag)
        shutil.rmtree(folder / "memory")
    slope, base = np.polyfit(list(found), list(found.values()), 1)
    at_10_gb = found[max(found)] if max(found) > 9.0 else float(base + 10.0 * slope)
    return {
        "peak_mb_by_bag_gb": {str(size): round(peak, 1) for size, peak in found.items()},
        "mb_per_gb": round(float(slope), 2),
        "at_10_gb_mb": round(at_10_gb, 1),
        "at_10_gb_is": "measured" if max(found) > 9.0 else "extrapolated",
        "limit_mb": MAX_RSS_MB,
        "within_limit": at_10_gb <= MAX_RSS_MB,
    }
