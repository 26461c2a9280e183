"""The hot paths: one call of each, ready to be repeated."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_bringup.benchmarks.call_profile import Call, onnx_parts, python_parts, torch_parts
from vla_core.contract import Contract

PATHS: Final = ("tick", "frame", "inference", "conversion", "training")
"""In the order of a robot's day: what runs 20 times a second first."""

OTHERS: Final = "others"
"""What stands for all parts but the costliest."""

_PARTS_SHOWN: Final = 8
_REPLAN_TICKS: Final = 2
_ROUNDS: Final = 7
_QUICK_ROUNDS: Final = 3
_BAG_S: Final = 14.0
_START_NS: Final = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class ProfiledPath:
    """A path, what one call of it is, and who takes it apart.

    Attributes:
        what: A call in words.
        call: Does it once.
        calls: In a round.
        parts: Takes the call and how often to call it; seconds by part.
    """

    what: str
    call: Call
    calls: int
    parts: Callable[[Call, int], dict[str, float]] = python_parts

    def measure(self, quick: bool) -> dict[str, Any]:
        """Time it with nothing looking on, then take it apart."""
        calls = max(1, self.calls // 10) if quick else self.calls
        rounds_ms = []
        self.call()
        for _ in range(_QUICK_ROUNDS if quick else _ROUNDS):
            start_s = time.perf_counter()
            for _ in range(calls):
                self.call()
            rounds_ms.append(1e3 * (time.perf_counter() - start_s) / calls)
        median_ms = float(np.median(rounds_ms))
        return {
            "what": self.what,
            "rounds": len(rounds_ms),
            "calls": calls,
            "ms": {"median": median_ms, "lowest": min(rounds_ms), "highest": max(rounds_ms)},
            "share": _shares(self.parts(self.call, calls)),
        }


def _shares(seconds: dict[str, float]) -> dict[str, float]:
    total_s = sum(seconds.values())
    parts = sorted(seconds.items(), key=lambda item: -item[1])
    shares = {part: value / total_s for part, value in parts[:_PARTS_SHOWN]}
    return {**shares, OTHERS: sum(value for _, value in parts[_PARTS_SHOWN:]) / total_s}


def tick_path(contract: Contract) -> ProfiledPath:
    """The control process's tick: chunk buffer, safety envelope, message; a chunk every other time.

    What DDS does with the message is left out: it is not the project's.
    """
    from vla_policy_node.control.command_messages import command_message
    from vla_policy_node.control.loop import ControlLoop
    from vla_policy_node.docking.goal import Motion

    loop = ControlLoop(contract, "real_time_chunking", _REPLAN_TICKS)
    loop.begin()
    loop.set_motion(Motion.FOLLOW)
    action = contract.action
    rng = np.random.default_rng(0)
    chunks = rng.uniform(action.low, action.high, (64, action.chunk_length, action.size)).astype(
        np.float32
    )
    ticks = count()

    def tick() -> None:
        number = next(ticks)
        now_ns = _START_NS + number * action.period_ns
        if number % _REPLAN_TICKS == 0:
            loop.add_chunk(now_ns, chunks[number % len(chunks)])
        command = loop.tick(now_ns, streams_valid=True)
        if command is not None:
            command_message(contract, command.values, now_ns)

    return ProfiledPath("One tick of the control process, publishing left out", tick, 2000)


def frame_path(contract: Contract, folder: Path) -> ProfiledPath:
    """What the node does with the sensors: messages of 0.1 s taken in, one frame assembled."""
    from vla_policy_node.sensing.streams import StreamHub

    hub = StreamHub(contract)
    period_ns = _REPLAN_TICKS * contract.action.period_ns
    frames = _message_groups(contract, folder, period_ns)

    def assemble() -> None:
        end_ns, messages = next(frames)
        for key, stamp_ns, message in messages():
            hub.push(key, message, stamp_ns)
        hub.assemble(end_ns)

    return ProfiledPath(
        "The messages of 0.1 s deserialised and taken in, and one frame assembled of them",
        assemble,
        100,
    )


def _message_groups(
    contract: Contract, folder: Path, period_ns: int
) -> Iterator[tuple[int, Callable[[], Iterator[tuple[str, int, Any]]]]]:
    """Messages of a drive by period, over and over; the clock goes on."""
    from rclpy.serialization import deserialize_message
    from rosbags.rosbag2 import Reader

    from vla_policy_node.control.command_messages import message_class
    from vla_training.benchmarks.long_bags import write_long_bag

    bag = write_long_bag(folder / "frame", contract, _BAG_S)
    by_topic = {stream.topic.lstrip("/"): stream.key for stream in contract.streams}
    groups: dict[int, list[tuple[str, Any, bytes]]] = {}
    with Reader(bag) as reader:
        for connection, stamp_ns, data in reader.messages():
            key = by_topic.get(connection.topic.lstrip("/"))
            if key is not None:
                kind = message_class(connection.msgtype)
                groups.setdefault(stamp_ns // period_ns, []).append((key, kind, bytes(data)))

    def messages(group: list[tuple[str, Any, bytes]], now_ns: int) -> Iterator[Any]:
        for key, kind, data in group:
            message = deserialize_message(data, kind)
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 10**9)
            yield key, now_ns, message

    for number in count():
        now_ns = _START_NS + number * period_ns
        yield now_ns, partial(messages, list(groups.values())[number % len(groups)], now_ns)


def inference_path(contract: Contract, preset: str, folder: Path) -> ProfiledPath:
    """One inference of an exported preset by ONNX Runtime on one thread."""
    from vla_core import keys
    from vla_training.benchmarks.untrained import random_batch, untrained_policy
    from vla_training.onnx_graph import export_onnx, input_names
    from vla_training.onnx_session import make_runner
    from vla_training.training_config import load_training_config

    policy = untrained_policy(load_training_config("", "", preset=preset), contract).eval()
    batch = random_batch(contract, 1)
    batch[keys.INSTRUCTION] = policy.language.deployed(batch[keys.INSTRUCTION])
    graph = folder / "graph.onnx"
    export_onnx(policy, batch, graph)
    feed = {name: batch[name].numpy() for name in input_names(policy)}
    runner = make_runner(graph)
    return ProfiledPath(
        f"One inference of preset `{preset}`, ONNX Runtime on one thread",
        lambda: runner(feed),
        100,
        lambda _, calls: onnx_parts(graph, feed, calls, folder / "onnx"),
    )


def conversion_path(contract: Contract, folder: Path) -> ProfiledPath:
    """One bag of 14 s into a data set, in one process."""
    from vla_training.benchmarks.long_bags import write_long_bag
    from vla_training.conversion.pipeline import convert

    bag = write_long_bag(folder / "bag", contract, _BAG_S)
    target = folder / "data.h5"

    def once() -> None:
        convert([bag], target, contract, jobs=1, progress=False, strict=True)
        target.unlink()
        shutil.rmtree(target.with_suffix(".parts"), ignore_errors=True)

    return ProfiledPath("A bag of 14 s converted in one process", once, 10)


def training_path(contract: Contract, preset: str) -> ProfiledPath:
    """One optimizer step on a batch in memory."""
    from vla_training.benchmarks.training_step import OurStep
    from vla_training.training_config import load_training_config

    step = OurStep(load_training_config("", "", preset=preset), contract)
    return ProfiledPath(
        f"One optimizer step of preset `{preset}` on a batch in memory", step, 10, torch_parts
    )
