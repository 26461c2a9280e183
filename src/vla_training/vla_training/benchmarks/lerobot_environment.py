"""LeRobot in an environment of its own, for comparisons and for checking exports.

It pins other versions of torch and numpy than this project, so the two never share one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, Final

from vla_training.errors import BenchmarkError

LEROBOT_VERSION: Final = "0.4.4"
_SIZE: Final = "about 8 GB"


def default_folder() -> Path:
    """Where the environment is made unless another folder is named: the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "vla_docking" / f"lerobot-{LEROBOT_VERSION}"


def lerobot_python(folder: Path | None = None, *, install: bool = True) -> Path:
    """The interpreter of an environment with LeRobot; made on the first call, which takes minutes.

    Args:
        folder: Of the environment; None for `default_folder`.
        install: Whether to make it if it is not there.

    Raises:
        BenchmarkError: If it is not there, or cannot be made.
    """
    folder = folder or default_folder()
    python = folder / "bin" / "python"
    if python.is_file() and _version(python) == LEROBOT_VERSION:
        return python
    if not install:
        raise BenchmarkError(
            f"no LeRobot {LEROBOT_VERSION} in {folder}; install it there ({_SIZE}) with: python3 "
            f"-m venv {folder} && {python} -m pip install lerobot=={LEROBOT_VERSION}"
        )
    try:
        venv.create(folder, with_pip=True)
        _pip(python, f"lerobot=={LEROBOT_VERSION}")
    except (OSError, subprocess.CalledProcessError) as error:
        output = getattr(error, "stderr", None) or str(error)
        raise BenchmarkError(
            f"LeRobot {LEROBOT_VERSION} ({_SIZE}) cannot be installed in {folder}: "
            f"{output.strip().splitlines()[-1]}; check network and space, or name a folder that "
            "has it"
        ) from error
    return python


def run_in(python: Path, script: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run a script in the environment.

    Args:
        python: See `lerobot_python`.
        script: It reads one JSON object from standard input, and the last line that it prints is
            its answer, another one.
        arguments: The object that it reads.

    Raises:
        BenchmarkError: If it fails.
    """
    done = subprocess.run(
        [str(python), str(script)],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        env=environment(python),
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise BenchmarkError(
            f"{script.name} failed in the LeRobot environment {python.parent.parent}: {last}; "
            "delete that folder to install it again"
        )
    return json.loads(done.stdout.strip().splitlines()[-1])


def environment(python: Path) -> dict[str, str]:
    """Environment variables for a process of LeRobot's interpreter."""
    return {**_environment(), "LD_LIBRARY_PATH": _ffmpeg(python.parent.parent)}


def _version(python: Path) -> str:
    code = "from importlib.metadata import version; print(version('lerobot'))"
    done = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, env=_environment(), check=False
    )
    return done.stdout.strip()


def _pip(python: Path, requirement: str) -> None:
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", requirement],
        stdout=sys.stderr,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
        check=True,
    )


def _ffmpeg(folder: Path) -> str:
    """Library path with FFmpeg for LeRobot's video decoder.

    TorchCodec looks for a system's FFmpeg. PyAV, which LeRobot needs as well, brings one along,
    but under names of its own; links with the usual names lead to it.
    """
    bundled = next(folder.glob("lib/python3*/site-packages/av.libs"), None)
    if bundled is None:
        return ""
    links = folder / "ffmpeg"
    links.mkdir(exist_ok=True)
    for library in [*bundled.glob("libav*.so.*"), *bundled.glob("libsw*.so.*")]:
        name = library.name.split("-")[0]
        major = library.name.partition(".so.")[2].split(".")[0]
        link = links / f"{name}.so.{major}"
        if not link.is_symlink():
            link.symlink_to(library)
    return os.pathsep.join([str(links), str(bundled)])


def _environment() -> dict[str, str]:
    """This process's, without what would lead the other interpreter to our packages."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
