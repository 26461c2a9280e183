"""Times LeRobot's own data set on given frames; runs in LeRobot's environment, not in ours.

Reads one JSON object from standard input: `frames` (folder with image.npy, scan.npy, odometry.npy,
action.npy and episodes.json), `work` (folder to write to), `modes` ("image", "video"), `rate_hz`,
`horizon`, `batch_size`, `workers` (list) and `seconds`. Its last line is the answer, by mode.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

_REPOSITORY = "benchmark/frames"
_IMAGE = "observation.images.front"
_WARM_UP = 2


def _lerobot_dataset() -> Any:
    # Where this project's packages are all imported, LeRobot is not installed.
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset


def write(frames: Path, root: Path, mode: str, rate_hz: int) -> dict[str, np.ndarray]:
    """Convert the frames with LeRobot's recording interface."""
    arrays = {
        name: np.load(frames / f"{name}.npy", mmap_mode="r")
        for name in ("image", "scan", "odometry", "action")
    }

    def vector(name: str) -> dict[str, Any]:
        size = arrays[name].shape[1]
        return {
            "dtype": "float32",
            "shape": (size,),
            "names": [f"{name}_{index}" for index in range(size)],
        }

    features = {
        _IMAGE: {
            "dtype": mode,
            "shape": arrays["image"].shape[1:],
            "names": ["height", "width", "channels"],
        },
        "observation.state": vector("odometry"),
        "observation.scan": vector("scan"),
        "action": vector("action"),
    }
    data = _lerobot_dataset().create(
        _REPOSITORY, rate_hz, features, root=root, use_videos=mode == "video"
    )
    for episode in json.loads((frames / "episodes.json").read_text()):
        for row in range(episode["start"], episode["start"] + episode["length"]):
            data.add_frame(
                {
                    _IMAGE: np.array(arrays["image"][row]),
                    "observation.state": np.array(arrays["odometry"][row]),
                    "observation.scan": np.array(arrays["scan"][row]),
                    "action": np.array(arrays["action"][row]),
                    "task": episode["instruction"],
                }
            )
        data.save_episode()
    data.finalize()
    return arrays


def samples_per_s(data: Any, batch_size: int, workers: int, seconds: float) -> float:
    """Rate of shuffled batches, after a few to get going."""
    loader = DataLoader(data, batch_size, shuffle=True, num_workers=workers, drop_last=True)
    count = 0
    begun: float | None = None
    while True:
        for index, batch in enumerate(loader):
            if begun is None:
                if index + 1 == _WARM_UP:
                    begun = time.perf_counter()
                continue
            count += len(batch["action"])
            spent = time.perf_counter() - begun
            if spent >= seconds and count >= 2 * batch_size:
                return count / spent


def main() -> None:
    """Convert and time each mode."""
    wanted = json.loads(sys.stdin.read())
    torch.manual_seed(0)
    # Its tensors are small: on a busy machine, more threads only wait for each other.
    torch.set_num_threads(1)
    answer = {}
    for mode in wanted["modes"]:
        root = Path(wanted["work"]) / mode
        begun = time.perf_counter()
        arrays = write(Path(wanted["frames"]), root, mode, wanted["rate_hz"])
        conversion_s = time.perf_counter() - begun
        chunk = [step / wanted["rate_hz"] for step in range(wanted["horizon"])]
        data = _lerobot_dataset()(_REPOSITORY, root=root, delta_timestamps={"action": chunk})
        # Workers first: forked ones must not share a video decoder that this process has open.
        rates = {
            workers: samples_per_s(data, wanted["batch_size"], workers, wanted["seconds"])
            for workers in sorted(wanted["workers"], reverse=True)
        }
        first = data[0]
        difference = np.abs(
            first[_IMAGE].permute(1, 2, 0).numpy() * 255.0 - arrays["image"][0].astype(float)
        )
        answer[mode] = {
            "conversion_s": round(conversion_s, 1),
            "frames": len(data),
            "chunk": " x ".join(map(str, first["action"].shape)),
            "largest_image_difference": round(float(difference.max()), 1),
            "backend": str(data.video_backend) if mode == "video" else "",
            "samples_per_s": {
                str(workers): round(rates[workers], 1) for workers in wanted["workers"]
            },
        }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
