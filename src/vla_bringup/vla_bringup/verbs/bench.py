"""Measure a stage against a named peer or limit.

  vla bench convert
  vla bench load --data out/demonstrations.h5 --json out/bench_load.json

Every figure comes with the machine and its load; what is compared runs in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from vla_bringup.resources import default_contract, default_policy

HELP = "benchmarks"

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
            "--data": {"type": Path, "required": True, "metavar": "FILE", "help": "data set"},
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
    "leak": Benchmark(
        "vla_training.benchmarks.goal_leak:run",
        "what the view from the start says about the goal: must be chance",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    names = parser.add_subparsers(dest="benchmark", metavar="NAME", required=True)
    for name, benchmark in BENCHMARKS.items():
        child = names.add_parser(name, help=benchmark.help, description=benchmark.help)
        child.add_argument("--quick", action="store_true", help="less of everything: for a look")
        child.add_argument(
            "--out",
            type=Path,
            metavar="DIR",
            help="folder for what is measured with (temporary; presets, ablations and lerobot keep "
            "theirs below out)",
        )
        child.add_argument("--json", metavar="FILE", help="write the figures here; - prints them")
        for flag, how in benchmark.options.items():
            child.add_argument(flag, **how)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    benchmark = BENCHMARKS[args.benchmark]
    module, _, function = benchmark.target.partition(":")
    names = [flag.lstrip("-").replace("-", "_") for flag in benchmark.options]
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    load_before = os.getloadavg()[0]
    figures = getattr(import_module(module), function)(
        quick=args.quick, out=args.out, **{name: getattr(args, name) for name in names}
    )
    answer = {
        "benchmark": args.benchmark,
        "quick": args.quick,
        "machine": describe_machine(),
        "load": {"before": round(load_before, 2), "after": round(os.getloadavg()[0], 2)},
        "figures": figures,
    }
    text = json.dumps(answer, indent=2) + "\n"
    if args.json == "-":
        print(text, end="")
        return 0
    if args.json:
        path = Path(args.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    rows = list(_flat(answer))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    return 0


def describe_machine() -> dict[str, Any]:
    """What a figure was measured on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = (line.partition(":") for line in cpuinfo.read_text("utf-8").splitlines())
        model = next((v.strip() for name, _, v in lines if name.strip() == "model name"), model)
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Figures by dotted name, one a line."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple)):
            yield f"{prefix}{name}", " to ".join(map(str, value)) if len(value) == 2 else str(value)
        else:
            yield f"{prefix}{name}", str(value)
