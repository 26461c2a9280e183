"""Runs in LeRobot's own environment: what its LeRobotDataset makes of an export, and recordings.

Reads one JSON object from standard input and answers with another one. `{"task": "read", "root":
…}` gives, by episode, the SHA-256 of every feature as LeRobotDataset gives it, item by item, and
the tasks; `{"task": "record", "root": …, "video": …}` records three small episodes with LeRobot's
own interface, and gives their values.
"""

import hashlib
import json
import sys

import numpy as np
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset

NAME = "exported/frames"
LENGTHS = (7, 5, 6)


def read(wanted):
    data = LeRobotDataset(NAME, root=wanted["root"])
    episodes = {}
    frames = 0
    for index in range(len(data)):
        item = data[index]
        number = int(item["episode_index"])
        if number not in episodes:
            names = [name for name in data.features if name in item]
            episodes[number] = {
                "task": item["task"],
                "sha256": {n: hashlib.sha256() for n in names},
            }
        assert item["task"] == episodes[number]["task"]
        for name, digest in episodes[number]["sha256"].items():
            value = item[name]
            if data.features[name]["dtype"] == "image":
                assert value.dtype == torch.float32
                pixels = value * 255.0
                value = pixels.round().to(torch.uint8)
                assert float((pixels - value).abs().max()) < 1e-3
                value = value.permute(1, 2, 0)
            array = value.numpy()
            if data.features[name]["dtype"] != "image":
                # It gives every whole number as int64, whatever the table has.
                array = array.astype(data.features[name]["dtype"])
                assert (array == value.numpy()).all()
            digest.update(np.ascontiguousarray(array).tobytes())
        frames += 1
    # A chunk of actions, as its policies ask for one.
    chunk = {"action": [step / data.fps for step in range(5)]}
    windows = LeRobotDataset(NAME, root=wanted["root"], delta_timestamps=chunk)
    return {
        "frames": frames,
        "episodes": [
            {
                "task": episode["task"],
                "sha256": {name: digest.hexdigest() for name, digest in episode["sha256"].items()},
            }
            for _, episode in sorted(episodes.items())
        ],
        "fps": data.fps,
        "robot_type": data.meta.robot_type,
        "splits": data.meta.info["splits"],
        "lengths": [int(length) for length in data.meta.episodes["length"]],
        "statistics": sorted(data.meta.stats),
        "chunk": windows[0]["action"].tolist(),
    }


def record(wanted):
    rng = np.random.default_rng(0)
    features = {
        "observation.images.front": {
            "dtype": "video" if wanted["video"] else "image",
            "shape": (48, 64, 3),
            "names": ["height", "width", "channels"],
        },
        "observation.state": {"dtype": "float32", "shape": (2,), "names": ["v", "w"]},
        "observation.scan": {"dtype": "float32", "shape": (36,), "names": None},
        "action": {"dtype": "float32", "shape": (2,), "names": ["v", "w"]},
        "next.done": {"dtype": "bool", "shape": (1,), "names": None},
    }
    data = LeRobotDataset.create(
        NAME, wanted["fps"], features, root=wanted["root"], use_videos=wanted["video"]
    )
    for number, length in enumerate(LENGTHS):
        ramp = np.linspace(0, 40 * (number + 1), 64 * 48 * 3).reshape(48, 64, 3)
        for step in range(length):
            # Smooth pictures survive the compression of videos.
            data.add_frame(
                {
                    "observation.images.front": (ramp + 10 * step).astype(np.uint8),
                    "observation.state": rng.normal(size=2).astype(np.float32),
                    "observation.scan": rng.uniform(0.1, 8.0, 36).astype(np.float32),
                    "action": rng.normal(size=2).astype(np.float32),
                    "next.done": np.array([step == length - 1]),
                    "task": "dock left" if number % 2 else "dock at the orange charger",
                }
            )
        data.save_episode()
    data.finalize()
    again = LeRobotDataset(NAME, root=wanted["root"])
    items = [again[index] for index in range(len(again))]
    values = {
        name: torch.stack([item[name] for item in items]).numpy()
        for name in ("observation.state", "observation.scan", "action", "observation.images.front")
    }
    np.savez(wanted["values"], **values)
    return {"tasks": [item["task"] for item in items], "lengths": list(LENGTHS)}


def main():
    wanted = json.loads(sys.stdin.read())
    answer = {"read": read, "record": record}[wanted["task"]](wanted)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
