"""Trains in a process of its own, whose memory is then that of a training and of nothing else.

Arguments: a JSON file with the wanted `config`, and the file that receives what was found. The
process ends when standard input does, that is with whoever started it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vla_core.errors import VlaError
from vla_training.benchmarks.memory import peak_memory_mb
from vla_training.configuration import from_dict
from vla_training.trainer import train
from vla_training.training_config import TrainingConfig


def main(arguments: list[str]) -> int:
    """Train, or go on; returns the exit code."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    wanted_path, record_path = map(Path, arguments)
    wanted = json.loads(wanted_path.read_text("utf-8"))
    config = from_dict(TrainingConfig, wanted["config"], str(wanted_path))
    load_before = os.getloadavg()[0]
    try:
        result = train(config, resume=True)
    except VlaError as error:
        write_record(record_path, {**wanted, "error": str(error)})
        return 1
    except KeyboardInterrupt:
        return 130
    found = {
        "steps": result.steps,
        "samples": result.samples,
        "training_s": round(result.duration_s, 2),
        "samples_per_s": round(result.samples / max(result.duration_s, 1e-9), 2),
        "parameters": result.parameters,
        "metrics": result.metrics,
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "load": [round(load, 2) for load in (load_before, os.getloadavg()[0])],
    }
    if torch.cuda.is_available():
        found["device"] = torch.cuda.get_device_name()
        found["peak_device_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    write_record(record_path, {**wanted, **found})
    return 0


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
