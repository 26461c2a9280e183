"""One of the processes of `vla collect`: records the episodes that it is told to on its stdin.

It speaks JSON, one object a line. From the parent: `{"name": "episode_000017", "seed": 17,
"suite": "nominal", "goal": -1, "time_limit_s": 30.0}`. To the parent: `{"event": "ready"}`, one
`{"event": "episode", ...}` for each, or `{"event": "error", "message": ...}`. It ends when stdin
does.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from vla_bringup.collection_episode import EpisodeRunner
from vla_bringup.collection_types import (
    CollectionError,
    EpisodeOrder,
    EpisodeResult,
    EpisodeSettings,
)
from vla_core.contract import Contract
from vla_core.errors import VlaError
from vla_recorder.bag_inspection import inspect_bag

ATTEMPTS: Final = 3


def main() -> int:
    """Run until stdin ends."""
    job = json.loads(sys.argv[1])
    settings = EpisodeSettings(**job["settings"])
    partial = Path(job["partial"])

    def stop(signum: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + signum)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    try:
        contract = Contract.load(settings.contract)
        with EpisodeRunner(settings, partial, Path(job["logs"])) as runner:
            _say("ready")
            for line in sys.stdin:
                result = _record(runner, contract, EpisodeOrder(**json.loads(line)))
                _say("episode", **result.to_dict(), size_bytes=_size_bytes(Path(result.bag)))
    except VlaError as error:
        _say("error", message=str(error))
        return 1
    except Exception:
        _say("error", message=f"a worker failed: {traceback.format_exc().strip().splitlines()[-1]}")
        traceback.print_exc()
        return 1
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        shutil.rmtree(partial, ignore_errors=True)
    return 0


def _record(runner: EpisodeRunner, contract: Contract, order: EpisodeOrder) -> EpisodeResult:
    """Record an episode until its bag is complete.

    Raises:
        CollectionError: it is not, again and again.
    """
    flaw = ""
    for _ in range(ATTEMPTS):
        result = runner.run(order)
        flaw = find_flaw(Path(result.bag), contract)
        if not flaw:
            return result
        sys.stderr.write(f"{order.name}: {flaw}; recording it again\n")
        shutil.rmtree(result.bag)
    raise CollectionError(
        f"{order.name} came out incomplete {ATTEMPTS} times ({flaw}); the machine is too busy for "
        f"this many jobs, use fewer (--jobs)"
    )


def find_flaw(bag: Path, contract: Contract) -> str:
    """What is missing in a bag that was recorded in lock-step; empty if nothing is.

    The executed command, its label and the true state must have one message for each tick, and
    every stream must go on at its rate, without a gap.
    """
    inspection = inspect_bag(bag, contract)
    if not inspection.ok:
        return inspection.violations[0]
    action = contract.action
    ticked = [action.topic, action.label_topic or action.topic, "ground_truth/state"]
    if contract.dock_pose_topic:
        ticked.append(contract.dock_pose_topic)
    periods_s = {stream.topic: 1.0 / stream.rate_hz for stream in contract.streams}
    periods_s |= dict.fromkeys(ticked, action.period_ns * 1e-9)
    counts = {}
    for name, period_s in periods_s.items():
        topic = inspection.topic(name) or inspection.topic(f"/{name}")
        if topic is None:
            return f"no topic {name}"
        missing = topic.missing(period_s)
        if missing:
            return f"{missing} messages of {name} are missing"
        if topic.out_of_order:
            return f"messages of {name} are out of order"
        if name in ticked:
            counts[name] = topic.count
    if len(set(counts.values())) > 1:
        return f"unequal numbers of messages: {counts}"
    return ""


def _say(event: str, **fields: Any) -> None:
    # rclpy and Fast DDS may write to stdout: one write per line keeps ours whole.
    line = json.dumps({"event": event, **fields}) + "\n"
    os.write(sys.stdout.fileno(), line.encode())


def _size_bytes(bag: Path) -> int:
    return sum(file.stat().st_size for file in bag.iterdir())


if __name__ == "__main__":
    sys.exit(main())
