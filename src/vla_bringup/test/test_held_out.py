"""What collects, converts and trains cannot read what is held out for evaluation."""

import subprocess
import sys

import pytest

COLLECTING = ["vla_bringup.collection", "vla_bringup.collection_worker"]
TRAINING = [
    "vla_training.conversion",
    "vla_training.dataset",
    "vla_training.models",
    "vla_training.trainer",
]

IMPORT = """
import importlib, pkgutil, sys
for name in {names!r}:
    module = importlib.import_module(name)
    for inner in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        importlib.import_module(inner.name)
assert "vla_simulation.held_out" not in sys.modules
"""


@pytest.mark.parametrize("names", [COLLECTING, TRAINING])
def test_importing_it_loads_nothing_held_out(names):
    """Every module of theirs, and all that those import."""
    result = subprocess.run(
        [sys.executable, "-c", IMPORT.format(names=names)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
