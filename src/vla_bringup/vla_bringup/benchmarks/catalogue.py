"""The benchmarks of `vla bench`: what each measures, where it is, what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vla_bringup.resources import default_contract, default_policy

EXECUTION_MODES: Final = (
    "open_loop",
    "receding_horizon",
    "temporal_ensemble",
    "real_time_chunking",
)
"""As in `vla_core.action_chunks`, which would take time to import."""

DEFAULT_EXECUTION_MODE: Final = "real_time_chunking"
"""As in `vla_core.action_chunks`."""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        target: "module:function"; called with `quick`, `out` and the options by name. It returns
            figures: plain values, mappings and lists.
        help: What it measures, and against what.
        options: Further options, by flag, as argparse takes them.
    """

    target: str
    help: str
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_FLAG: Final = {"action": "store_true"}

_TRAININGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "--seeds": {"type": int, "metavar": "N", "help": "trainings of each (default 3)"},
    "--steps": {"type": int, "metavar": "N", "help": "of a training; default: the preset's"},
    "--minutes": {"type": float, "metavar": "M", "help": "of a training, in place of steps"},
    "--suite": {"default": "nominal", "metavar": "NAME", "help": "default: %(default)s"},
    "--episodes": {"type": int, "metavar": "N", "help": "held-out seeds (default 100)"},
    "--swap": {**_FLAG, "help": "with another station's sentence, too"},
    "--jobs": {"type": int, "metavar": "N", "help": "of the episodes; default: all cores"},
    "--set": {"nargs": "+", "default": (), "metavar": "KEY=VALUE", "help": "for all trainings"},
    "--docs": {"type": Path, "metavar": "FILE.md", "help": "put the table in here, too"},
}
"""Options of benchmarks that train, evaluate and lay side by side."""

BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    "convert": Benchmark(
        "vla_training.benchmarks.convert:run",
        "bags to a data set: CPU time against raw reading and writing, processes, memory",
        {
            "--contract": {"type": Path, "default": default_contract(), "metavar": "FILE"},
            "--bags": {"type": Path, "nargs": "+", "metavar": "BAG", "help": "default: made up"},
            "--full": {**_FLAG, "help": "convert a bag of 10 GB, too"},
        },
    ),
    "load": Benchmark(
        "vla_training.benchmarks.load:run",
        "shuffled batches: samples per second against a numpy gather and LeRobot's data set",
        {
            "--contract": {"type": Path, "default": default_contract(), "metavar": "FILE"},
            "--data": {
                "type": Path,
                "metavar": "FILE",
                "help": "data set; default: driven by the expert",
            },
            "--with-peer": {**_FLAG, "help": "compare with LeRobot; installs it (8 GB) if needed"},
            "--peer": {"type": Path, "metavar": "DIR", "help": "environment with LeRobot"},
            "--frames": {"type": int, "metavar": "N", "help": "read so many"},
        },
    ),
    "infer": Benchmark(
        "vla_training.benchmarks.infer:run",
        "one inference on one thread: ONNX Runtime against PyTorch eager and compiled",
        {
            "--contract": {"type": Path, "default": default_contract(), "metavar": "FILE"},
            "--presets": {"nargs": "+", "metavar": "NAME", "help": "default: all"},
            "--checkpoints": {"type": Path, "nargs": "+", "metavar": "DIR", "help": "trained ones"},
            "--no-compile": {**_FLAG, "help": "leave out torch.compile, which takes minutes"},
        },
    ),
    "train": Benchmark(
        "vla_training.benchmarks.train:run",
        "optimizer steps of preset act against LeRobot's ACT with equal sizes",
        {
            "--contract": {"type": Path, "default": default_contract(), "metavar": "FILE"},
            "--peer": {"type": Path, "metavar": "DIR", "help": "environment with LeRobot (8 GB)"},
            "--no-peer": {**_FLAG, "help": "leave LeRobot out: our step against parts of it"},
            "--batch-size": {"type": int, "default": 32, "metavar": "N"},
            "--threads": {"type": int, "default": 0, "metavar": "N", "help": "default: all cores"},
        },
    ),
    "presets": Benchmark(
        "vla_training.benchmarks.presets:run",
        "presets trained on the same data, evaluated on the same episodes; goes on where it was",
        {
            "data": {"type": Path, "help": "data set", "metavar": "DATA.h5"},
            "--presets": {"nargs": "+", "metavar": "NAME", "help": "or YAML files; default: all"},
            **_TRAININGS,
        },
    ),
    "ablations": Benchmark(
        "vla_training.benchmarks.ablations:run",
        "what each part of the recipe is worth: policies that lack one; goes on where it was",
        {
            "--contract": {"type": Path, "default": default_contract(), "metavar": "FILE"},
            "--preset": {"default": "docking", "metavar": "NAME", "help": "default: %(default)s"},
            "--only": {"nargs": "+", "metavar": "NAME", "help": "of the variants; default: all"},
            "--demonstrations": {"type": int, "metavar": "N", "help": "of the reference (200)"},
            "--sizes": {
                "type": int,
                "nargs": "+",
                "default": (25, 50, 100, 200, 400, 800),
                "metavar": "N",
                "help": "other numbers of demonstrations (default: 25 to 800)",
            },
            **_TRAININGS,
        },
    ),
    "lerobot": Benchmark(
        "vla_training.benchmarks.lerobot_comparison:run",
        "LeRobot's ACT trained for a given time on a data set, then driven in closed loop",
        {
            "data": {"type": Path, "help": "data set", "metavar": "DATA.h5"},
            "--peer": {"type": Path, "metavar": "DIR", "help": "environment with LeRobot (8 GB)"},
            "--policy": {"metavar": "PATH", "help": "drives the same episodes, for comparison"},
            "--minutes": {"type": float, "metavar": "M", "help": "of LeRobot's training"},
            "--steps": {"type": int, "metavar": "N", "help": "in place of minutes"},
            "--batch-size": {"type": int, "default": 32, "metavar": "N"},
            "--learning-rate": {"type": float, "default": 1e-4, "metavar": "R"},
            "--pretrained": {**_FLAG, "help": "begin with ImageNet's weights: a download"},
            "--seed": {"type": int, "default": 0, "metavar": "S", "help": "of the training"},
            "--workers": {"type": int, "default": 0, "metavar": "N", "help": "that read data"},
            "--suite": {"default": "nominal", "metavar": "NAME", "help": "default: %(default)s"},
            "--episodes": {"type": int, "metavar": "N", "help": "held-out seeds (default 100)"},
            "--swap": {**_FLAG, "help": "with another station's sentence, too"},
            "--jobs": {"type": int, "metavar": "N", "help": "of the episodes; default: all cores"},
        },
    ),
    "seams": Benchmark(
        "vla_training.benchmarks.seams:run",
        "execution modes with and without added latency: success, and steps where chunks meet",
        {
            "--policy": {"default": str(default_policy()), "metavar": "PATH", "help": "or shipped"},
            "--suite": {"default": "nominal", "metavar": "NAME", "help": "default: %(default)s"},
            "--episodes": {"type": int, "metavar": "N", "help": "held-out seeds (default 100)"},
            "--seed": {
                "type": int,
                "default": 1_000_000,
                "metavar": "S",
                "help": "first one (default %(default)s)",
            },
            "--modes": {"nargs": "+", "default": EXECUTION_MODES, "metavar": "MODE"},
            "--added-ms": {
                "type": int,
                "nargs": "+",
                "default": (0, 300),
                "metavar": "MS",
                "help": "latencies beyond that of the policy node (default: 0 300)",
            },
            "--replan-steps": {"type": int, "default": 2, "metavar": "N"},
            "--in-flight": {
                "type": int,
                "default": 4,
                "metavar": "N",
                "help": "inferences that may be under way at once (default %(default)s)",
            },
            "--jobs": {"type": int, "metavar": "N", "help": "processes (default: one per core)"},
        },
    ),
    "record": Benchmark(
        "vla_bringup.benchmarks.recording:run",
        "recording at full size beside a simulator: what is lost, CPU time over the bag library",
        {
            "--duration": {"type": float, "metavar": "S", "help": "of the load (default 300)"},
            "--no-simulator": {**_FLAG, "help": "leave the simulator out"},
        },
    ),
    "sim": Benchmark(
        "vla_simulation.benchmarks:run",
        "simulation with camera, scanner and physics: real-time factor per core and on two",
        {"--suite": {"metavar": "NAME", "help": "default: nominal"}},
    ),
    "loop": Benchmark(
        "vla_bringup.benchmarks.loop:run",
        "period error of the commands under load against an empty rclpy timer beside it",
        {
            "--policy": {"type": Path, "default": default_policy(), "metavar": "DIR"},
            "--contract": {"type": Path, "default": default_contract(), "metavar": "FILE"},
            "--minutes": {"type": float, "default": 10.0, "metavar": "M", "help": "default: 10"},
            "--no-recorder": {**_FLAG, "help": "leave the recorder out"},
            "--set": {
                "nargs": "+",
                "default": (),
                "metavar": "NAME=VALUE",
                "help": "parameters of the policy node",
            },
        },
    ),
    "profile": Benchmark(
        "vla_bringup.benchmarks.profile:run",
        "the hot paths taken apart: what a tick, a frame, an inference, a bag, a step consist of",
        {
            "--contract": {"type": Path, "default": default_contract(), "metavar": "FILE"},
            "--paths": {"nargs": "+", "metavar": "NAME", "help": "default: all"},
            "--preset": {"default": "docking", "metavar": "NAME", "help": "default: %(default)s"},
            "--docs": {"type": Path, "metavar": "FILE.md", "help": "put the tables in here, too"},
        },
    ),
    "leak": Benchmark(
        "vla_training.benchmarks.goal_leak:run",
        "what the view from the start says about the goal: must be chance",
    ),
}
