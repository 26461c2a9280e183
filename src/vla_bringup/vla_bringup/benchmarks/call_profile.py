"""Three profilers with one kind of answer: the time that each part of a call takes itself."""

from __future__ import annotations

import cProfile
import json
import pstats
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Call = Callable[[], Any]


def python_parts(call: Call, count: int) -> dict[str, float]:
    """Time in the code of each of our modules and of each other package itself [s], by cProfile.

    Functions of C are parts of their own: `resize`, `numpy.array`.
    """
    profiler = cProfile.Profile()
    for _ in range(count):
        profiler.enable()
        call()
        profiler.disable()
    parts: Counter[str] = Counter()
    for (file, _, function), entry in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        parts[_part(file, function)] += entry[2]
    return dict(parts)


def torch_parts(call: Call, count: int) -> dict[str, float]:
    """Time in each operator itself on the CPU, without those that it calls [s]."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    with torch.inference_mode(False), profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(count):
            call()
    return {
        event.key: 1e-6 * event.self_cpu_time_total
        for event in profiler.key_averages()
        if event.self_cpu_time_total > 0
    }


def onnx_parts(graph: Path, feed: Mapping[str, Any], count: int, prefix: Path) -> dict[str, float]:
    """Time in each kind of operator of a graph on one thread [s], by ONNX Runtime itself.

    Args:
        graph: Of ONNX.
        feed: Its inputs.
        count: Inferences.
        prefix: Of the file that ONNX Runtime writes.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph, _profiled(options, prefix), providers=["CPUExecutionProvider"]
    )
    for _ in range(count):
        session.run(None, dict(feed))
    parts: Counter[str] = Counter()
    for event in json.loads(Path(session.end_profiling()).read_text("utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            parts[event["args"]["op_name"]] += 1e-6 * event["dur"]
    return dict(parts)


def _profiled(options: Any, prefix: Path) -> Any:
    options.enable_profiling = True
    options.profile_file_prefix = str(prefix)
    return options


def _part(file: str, function: str) -> str:
    if file == "~":  # of C; cProfile writes <built-in method name> or <method 'name' of 'class'>
        return function.strip("<>").removeprefix("built-in method ").removeprefix("method ")
    words = Path(file).parts
    if "site-packages" in words:
        return words[words.index("site-packages") + 1]
    if any(word.startswith("python3") for word in words) or file.startswith("<"):
        return "Python's library"
    return ".".join((*words[-2:-1], Path(file).stem))
