"""Contact sheets of scenes, for the documentation and for everybody who changes the scenery.

python -m vla_simulation.sample_frames --directory docs/images
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from vla_simulation.environment import DockingEnv
from vla_simulation.scenes.station_shapes import SHAPES
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_simulation.suites import load_suite, suite_names

QUALITY = 86
"""Of the JPEG files, 0 to 100."""

_BAR_PX = 18
_GAP_PX = 4
_SEEDS_PER_SUITE = 4
_ROOM_VIEWS = ("overview", "chase")


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """A picture with a line of text above it; (H + 18, W, 3) uint8."""
    bar = np.full((_BAR_PX, picture.shape[1], 3), 32, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(bar, text, (4, 13), font, 0.42, (235, 235, 235), 1, cv2.LINE_AA)
    return np.concatenate([bar, picture])


def sheet(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Tiles of one size in rows; (H, W, 3) uint8."""
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    image = np.full(
        (rows * (height + _GAP_PX) - _GAP_PX, columns * (width + _GAP_PX) - _GAP_PX, 3),
        255,
        np.uint8,
    )
    for k, tile in enumerate(tiles):
        top, left = k // columns * (height + _GAP_PX), k % columns * (width + _GAP_PX)
        image[top : top + height, left : left + width] = tile
    return image


def suite_sheet(env: DockingEnv, suites: Sequence[str], seed: int) -> np.ndarray:
    """What the robot's camera sees at the start: four episodes of every suite."""
    tiles = []
    for row, name in enumerate(suites):
        for column in range(_SEEDS_PER_SUITE):
            observation, _ = env.reset(
                seed=seed + _SEEDS_PER_SUITE * row + column, options={"suite": name}
            )
            enlarged = cv2.resize(
                observation["image"], None, fx=1.5, fy=1.5, interpolation=cv2.INTER_LINEAR
            )
            tiles.append(captioned(enlarged, f"{name}  {env.seed}"))
    return sheet(tiles, _SEEDS_PER_SUITE)


def view_sheet(env: DockingEnv, suite: str, seed: int, count: int = 12) -> np.ndarray:
    """Where the robot's camera stands, without lens and noise, with shadows."""
    tiles = []
    for k in range(count):
        env.reset(seed=seed + k, options={"suite": suite})
        tiles.append(captioned(env.render_view("camera", (400, 300)), f"{suite}  seed {env.seed}"))
    return sheet(tiles, 3)


def room_sheet(env: DockingEnv, seed: int) -> np.ndarray:
    """Rooms from outside the robot."""
    tiles = []
    for k in range(6):
        env.reset(seed=seed + k, options={"suite": "clutter"})
        view = _ROOM_VIEWS[k % len(_ROOM_VIEWS)]
        tiles.append(captioned(env.render_view(view, (480, 300)), f"{view}  seed {env.seed}"))
    return sheet(tiles, 2)


def station_sheet(seed: int) -> np.ndarray:
    """Every body of a station from a metre away and from the dock, with its marker."""
    suite = load_suite("single")
    held_out = load_suite("new_station")
    shown: dict[str, list[np.ndarray]] = {}
    for base in (suite, held_out):
        scene = dataclasses.replace(
            base.randomization.scene,
            station_count_shares=(1.0, 0.0, 0.0),
            clutter_count=(4, 8),
        )
        start = dataclasses.replace(
            base.start,
            min_distance_m=1.1,
            max_distance_m=1.1,
            max_bearing_rad=0.05,
            max_heading_rad=0.05,
        )
        randomization = dataclasses.replace(base.randomization, scene=scene)
        env = DockingEnv(
            dataclasses.replace(base, start=start, randomization=randomization), render=False
        )
        for k in range(60):
            env.reset(seed=seed + k)
            look = env.scene.goal_station.look
            if look.shape in shown:
                continue
            far = env.render_view("camera", (320, 240))
            env.reset(seed=seed + k, options={"start": "docked", "markers": True})
            docked = env.render_view("camera", (320, 240))
            shown[look.shape] = [
                captioned(far, f"{look.shape}  {look.colour}"),
                captioned(docked, f"{look.shape}, docked, with marker"),
            ]
        env.close()
    pairs = [shown[shape] for shape in SHAPES]
    half = len(pairs) // 2
    rows = [
        tile
        for group in (pairs[:half], pairs[half:])
        for line in range(2)
        for tile in (pair[line] for pair in group)
    ]
    return sheet(rows, half)


def write_sheets(directory: Path, seed: int = FIRST_HELD_OUT_SEED) -> list[Path]:
    """Render all sheets; takes some tens of seconds.

    Args:
        directory: where the JPEG files go.
        seed: of the first episode of every sheet.

    Returns:
        The files.

    Raises:
        RenderingError: no OpenGL library works.
        OSError: the directory cannot be written to.
    """
    directory.mkdir(parents=True, exist_ok=True)
    env = DockingEnv("nominal", render=True)
    suites = suite_names()
    sheets: dict[str, Callable[[], np.ndarray]] = {
        "suites_1": lambda: suite_sheet(env, suites[: len(suites) // 2], seed),
        "suites_2": lambda: suite_sheet(env, suites[len(suites) // 2 :], seed + 100),
        "nominal": lambda: view_sheet(env, "nominal", seed),
        "occlusion": lambda: view_sheet(env, "occlusion", seed, 6),
        "lighting": lambda: view_sheet(env, "lighting", seed, 6),
        "rooms": lambda: room_sheet(env, seed),
        "stations": lambda: station_sheet(seed),
    }
    files = []
    for name, draw in sheets.items():
        path = directory / f"scenes_{name}.jpg"
        _, encoded = cv2.imencode(
            ".jpg", cv2.cvtColor(draw(), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        )
        path.write_bytes(encoded.tobytes())
        files.append(path)
    env.close()
    return files


def main() -> None:
    """Write the sheets and say where they are."""
    parser = argparse.ArgumentParser(description="Write contact sheets of scenes as JPEG files.")
    parser.add_argument("--directory", type=Path, default=Path("docs/images"))
    parser.add_argument("--seed", type=int, default=FIRST_HELD_OUT_SEED)
    arguments = parser.parse_args()
    for path in write_sheets(arguments.directory, arguments.seed):
        sys.stdout.write(f"{path}  {path.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
