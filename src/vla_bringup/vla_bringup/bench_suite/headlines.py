"""The figures that `vla bench all` goes by: what each is, over what, and where in its result."""

from __future__ import annotations

from typing import Final

from vla_bringup.bench_suite.headline import Headline

_TAIL_TOLERANCE: Final = 0.5
"""Of the largest errors of one run, which differ from run to run."""


def _leak(probe: str, sees: str) -> tuple[Headline, Headline]:
    return (
        Headline(
            f"leak.{probe}",
            f"goal named from {sees}, lower end of the 95 % interval",
            "guessing",
            (f"{probe}: goal", "wilson_low"),
            "lower",
            1.0,
            over=(f"{probe}: goal", "chance"),
        ),
        Headline(
            f"leak.{probe}_control",
            "station that is faced named by the same probe, lower end",
            "guessing",
            (f"{probe}: faced_station", "wilson_low"),
            "higher",
            1.0,
            over=(f"{probe}: faced_station", "chance"),
        ),
    )


def _storage(name: str) -> Headline:
    return Headline(
        f"load.{name}",
        f"shuffled batches, storage `{name}`",
        "numpy taking the same rows from memory maps",
        ("share_of_floor", name),
        "higher",
        0.8,
        spread=("share_of_floor_quartiles", name),
    )


def _lerobot_data(mode: str) -> Headline:
    return Headline(
        f"load.times_lerobot_{mode}",
        f"shuffled batches, two workers each, LeRobot's {mode} mode",
        "LeRobot's data set",
        ("peer", mode, "times_faster", "2"),
        "higher",
        5.0,
    )


def _onnx(preset: str) -> Headline:
    return Headline(
        f"infer.{preset}",
        f"one inference of `{preset}`, ONNX Runtime on one thread",
        "PyTorch eager",
        (preset, "ratio_to_eager", "onnxruntime"),
        "lower",
        0.5,
    )


def _times_lerobot(sizes: str, precision: str, limit: float | None) -> Headline:
    return Headline(
        f"train.{sizes}_{precision}",
        f"samples/s of a training step, {sizes.replace('_', ' ')}, {precision}",
        "LeRobot's ACT",
        (precision, "times_lerobot", sizes),
        "higher",
        limit,
    )


def _without(part: str, precision: str) -> Headline:
    return Headline(
        f"train.without_{part}_{precision}",
        f"samples/s that are left without {part.replace('_', ' ')}, {precision}",
        "the whole step",
        (precision, "share_without", part),
        "lower",
    )


def _seam(name: str, field: str) -> Headline:
    return Headline(
        f"seams.{name}",
        f"99th percentile of the steps of {field} where chunks meet",
        "steps within chunks",
        ("real_time_chunking", "0 ms added", "commanded", field, "seam_over_within"),
        "lower",
        1.0,
    )


HEADLINES: Final = (
    Headline(
        "sim.real_time_factor",
        "simulated time with camera, scanner and physics, one core",
        "real time",
        ("one_process", "real_time_factor"),
        "higher",
        20.0,
        of_machine=True,
    ),
    Headline(
        "sim.two_cores",
        "simulated time, two processes on two cores",
        "one process",
        ("speed_up",),
        "higher",
        1.8,
        of_machine=True,
    ),
    *_leak("sensors", "image and scan"),
    *_leak("state", "start, poses and looks"),
    Headline(
        "convert.episodes",
        "CPU time of converting recorded demonstrations",
        "reading the messages and writing the bytes",
        ("episodes", "ratio"),
        "lower",
        1.5,
        spread=("episodes", "ratio_range"),
    ),
    Headline(
        "convert.long_bag",
        "CPU time of converting one long bag",
        "reading the messages and writing the bytes",
        ("long_bag", "ratio"),
        "lower",
        1.5,
        spread=("long_bag", "ratio_range"),
    ),
    Headline(
        "convert.two_processes",
        "conversion by two processes",
        "one process",
        ("processes", "speed_up"),
        "higher",
        1.7,
        spread=("processes", "speed_up_range"),
        of_machine=True,
    ),
    Headline(
        "convert.memory",
        "peak memory of converting a bag of 10 GB, extrapolated",
        "1 GB",
        ("memory", "at_10_gb_mb"),
        "lower",
        1.0,
        over=("memory", "limit_mb"),
    ),
    _storage("memory"),
    _storage("mapped"),
    _lerobot_data("image"),
    _lerobot_data("video"),
    _onnx("docking"),
    Headline(
        "infer.docking_time",
        "one inference of `docking`, ONNX Runtime on one thread, median",
        "25 ms",
        ("docking", "ms", "onnxruntime", "p50"),
        "lower",
        1.0,
        over=25.0,
        of_machine=True,
    ),
    Headline(
        "infer.docking_compiled",
        "one inference of `docking`, ONNX Runtime on one thread",
        "`torch.compile`",
        ("docking", "ratio_to_eager", "onnxruntime"),
        "lower",
        over=("docking", "ratio_to_eager", "compiled"),
    ),
    _onnx("act"),
    _onnx("mini_vla"),
    _times_lerobot("equal_backbone", "bf16", 2.0),
    _times_lerobot("equal_backbone", "float32", 2.0),
    _times_lerobot("equal_sizes", "bf16", None),
    _times_lerobot("equal_sizes", "float32", None),
    _without("channels_last", "bf16"),
    _without("folded_norms", "bf16"),
    _without("fused_optimizer", "bf16"),
    _without("fused_optimizer", "float32"),
    Headline(
        "record.lost",
        "messages lost beside a running simulator",
        "messages published",
        ("lost_in_all",),
        "lower",
        0.0,
        over=("published_in_all",),
    ),
    Headline(
        "record.cpu",
        "CPU time of the recorder per second of load",
        "one core",
        ("recorder_cpu_per_s",),
        "lower",
        1.0,
        of_machine=True,
    ),
    Headline(
        "record.over_writer",
        "CPU time of the recorder",
        "the bag library alone",
        ("recorder_over_writer",),
        "lower",
        tolerance=0.3,
    ),
    Headline(
        "loop.p99_9",
        "99.9th percentile of the period error of the commands",
        "an empty rclpy timer beside it, and 1 ms",
        ("commands", "p99_9_ms"),
        "lower",
        1.0,
        over=("empty_timer", "p99_9_ms"),
        over_plus=1.0,
        tolerance=_TAIL_TOLERANCE,
    ),
    Headline(
        "loop.missed",
        "periods without a command",
        "all periods",
        ("commands", "missed"),
        "lower",
        0.0,
        over=("commands", "count"),
    ),
    Headline(
        "loop.starved",
        "periods without an action to send",
        "all periods",
        ("starved_ticks",),
        "lower",
        0.0,
        over=("commands", "count"),
    ),
    _seam("linear", "linear.x"),
    _seam("angular", "angular.z"),
    Headline(
        "seams.latency",
        "docked with 300 ms more latency",
        "docked without",
        ("real_time_chunking", "300 ms added", "successes"),
        "higher",
        0.99,
        over=("real_time_chunking", "0 ms added", "successes"),
    ),
)
"""In the order of the tables. Limits are those of the benchmarks and of the documentation."""
