"""What a policy depends on: evaluation with one stream of its observations spoilt.

A success rate does not say what a policy looks at. Here one stream is replaced while everything
else stays as it is: by that of another moment of another episode (`shuffle_KEY`), which is as
plausible as the true one and says nothing, or by nothing, marked invalid (`no_KEY`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vla_core.contract import Contract
from vla_core.frames import Frame, FrameAssembler
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv
from vla_simulation.seeds import FIRST_HELD_OUT_SEED, random_stream
from vla_training.errors import EvaluationError

KINDS: Final = ("shuffle", "no")

_DONOR_EPISODES: Final = 12
_DONOR_MOMENTS: Final = 12
_FIRST_DONOR_SEED: Final = FIRST_HELD_OUT_SEED - _DONOR_EPISODES
_LONGEST_S: Final = 9.0
"""Donors are from the first seconds of an episode: an expert's docking takes about as long."""
_SENSING_TICKS: Final = 4
"""Enough for one sample of every sensor, the slowest of which measures at 10 Hz."""


@dataclass(frozen=True)
class Disturbance:
    """Spoils one stream of the frames that a policy gets to see.

    The safety envelope still sees the true ones: what is measured is the policy.

    Attributes:
        name: `shuffle_KEY` or `no_KEY`.
        index: Of the stream in the contract.
        key: Of the stream.
        donors: (N, …) the stream at other moments, to draw from; None for nothing.
    """

    name: str
    index: int
    key: str
    donors: np.ndarray | None

    def __call__(self, frame: Frame, seed: int) -> Frame:
        """The frame with its stream spoilt.

        Args:
            frame: Of the running episode.
            seed: Of that episode; with the frame's tick it decides which donor is taken.
        """
        if self.donors is None:
            valid = frame.valid.copy()
            valid[self.index] = False
            arrays = {**frame.arrays, self.key: np.zeros_like(frame.arrays[self.key])}
            return replace(frame, arrays=arrays, valid=valid)
        draw = random_stream(seed, f"{self.name} {frame.tick_ns}").integers(len(self.donors))
        return replace(frame, arrays={**frame.arrays, self.key: self.donors[draw]})


def disturbance_names(contract: Contract) -> tuple[str, ...]:
    """All disturbances that a contract's streams allow."""
    return tuple(f"{kind}_{key}" for kind in KINDS for key in contract.keys)


def check_disturbances(names: Sequence[str], contract: Contract) -> None:
    """Make sure that disturbances exist.

    Raises:
        EvaluationError: Naming those that do not, and all that do.
    """
    known = disturbance_names(contract)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise EvaluationError(
            f"disturbance {', '.join(map(repr, unknown))} is unknown; choose of {', '.join(known)}"
        )


def make_disturbances(
    names: Sequence[str], contract: Contract, suite: str
) -> dict[str, Disturbance]:
    """Disturbances by name.

    Args:
        names: Of `disturbance_names`.
        contract: Of the policy.
        suite: Where the donors come from: episodes of seeds right below the held-out ones, driven
            by the expert.

    Raises:
        EvaluationError: If a name is unknown.
        SuiteError: If the suite is unknown.
    """
    check_disturbances(names, contract)
    needs_donors = any(name.startswith("shuffle_") for name in names)
    donors = _collect_donors(contract, suite) if needs_donors else {}
    made = {}
    for name in names:
        kind, _, key = name.partition("_")
        chosen = donors[key] if kind == "shuffle" else None
        made[name] = Disturbance(name, contract.keys.index(key), key, chosen)
    return made


def _collect_donors(contract: Contract, suite: str) -> Mapping[str, np.ndarray]:
    """Observations at random moments of the expert's episodes, by stream key."""
    frames: list[Frame] = []
    env = DockingEnv(suite)
    try:
        for seed in range(_FIRST_DONOR_SEED, FIRST_HELD_OUT_SEED):
            frames += _frames_of_episode(env, contract, seed)
    finally:
        env.close()
    donors = {}
    for index, stream in enumerate(contract.streams):
        seen = [frame.arrays[stream.key] for frame in frames if frame.valid[index]]
        if not seen:
            raise EvaluationError(
                f"disturbance of {stream.key!r}: the simulator does not deliver this stream; "
                "disturb another one"
            )
        donors[stream.key] = np.stack(seen)
    return donors


def _frames_of_episode(env: DockingEnv, contract: Contract, seed: int) -> list[Frame]:
    env.reset(seed=seed)
    longest = round(_LONGEST_S / (contract.action.period_ns * 1e-9))
    moments = random_stream(seed, "donors").choice(longest, _DONOR_MOMENTS, replace=False)
    wanted = {int(moment) for moment in moments}
    # Pictures are most of the time of a simulation: they are taken shortly before a moment only.
    sensing = {tick - back for tick in wanted for back in range(_SENSING_TICKS)}
    assembler = FrameAssembler(contract)
    frames = []
    for tick in range(1, longest):
        if env.truth.docked or env.truth.collision:
            break
        move = env.step if tick in sensing else env.advance
        move(np.array(expert_action(env.truth.dock_from_base), np.float32))
        if tick in sensing:
            for sample in env.samples():
                if sample.key in contract.keys:
                    assembler.push(sample.key, sample.stamp_ns, sample.reading)
        if tick in wanted:
            frames.append(assembler.assemble(env.stamp_ns))
    return frames
