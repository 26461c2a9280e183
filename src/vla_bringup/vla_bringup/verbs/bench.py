"""Measure a stage against a named peer or limit.

  vla bench all
  vla bench check
  vla bench convert
  vla bench load --data out/demonstrations.h5 --json out/bench_load.json

Every figure comes with the machine and its load; what is compared runs in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

from vla_bringup.bench_suite import arguments as suite
from vla_bringup.benchmarks.catalogue import BENCHMARKS

HELP = "benchmarks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    names = parser.add_subparsers(dest="benchmark", metavar="NAME", required=True)
    suite.add_verbs(names)
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
    if args.benchmark in suite.VERBS:
        from vla_bringup.bench_suite import program

        if args.benchmark == "check":
            return program.check(args, show=print)
        return program.measure_all(
            args, show=print, say=lambda line: print(line, file=sys.stderr, flush=True)
        )
    answer = _measure(args)
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


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    benchmark = BENCHMARKS[args.benchmark]
    module, _, function = benchmark.target.partition(":")
    names = [flag.lstrip("-").replace("-", "_") for flag in benchmark.options]
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    load_before, begun_s = os.getloadavg()[0], time.monotonic()
    figures = getattr(import_module(module), function)(
        quick=args.quick, out=args.out, **{name: getattr(args, name) for name in names}
    )
    return {
        "benchmark": args.benchmark,
        "quick": args.quick,
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "took_s": round(time.monotonic() - begun_s, 1),
        "machine": describe_machine(),
        "load": {"before": round(load_before, 2), "after": round(os.getloadavg()[0], 2)},
        "figures": figures,
    }


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
