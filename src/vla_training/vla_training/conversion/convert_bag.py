"""One bag to one part: the piece of work that is spread over processes and machines."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_core.contract import Contract
from vla_simulation.seeds import FIRST_HELD_OUT_SEED, is_held_out
from vla_training import __version__
from vla_training.conversion.alignment import BagAlignment
from vla_training.conversion.bag_record import describe_bag, describe_skipped
from vla_training.conversion.bags import BagFolder, BagMetadata, fingerprint, open_folder
from vla_training.conversion.driving import drivers_at
from vla_training.conversion.episodes import SegmentLimits
from vla_training.conversion.messages import BagMessages
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    FORMAT_VERSION,
    NO_GOAL,
    NO_SEED,
    TRAINING,
    EpisodeRecord,
    contract_text,
    group_of,
)
from vla_training.dataset.parts import PartHead, PartRecord, PartWriter, read_part
from vla_training.dataset.statistics import PIXEL_ROW_STEP
from vla_training.errors import ConversionError, DatasetError

_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True)
class ConversionOptions:
    """What decides which rows a bag becomes.

    Attributes:
        contract: What to read.
        limits: Where to cut bags that are no recorded episodes.
        action_delay_s: The action of a row is the newest command at or before its tick plus this.
    """

    contract: Contract
    limits: SegmentLimits = field(default_factory=SegmentLimits)
    action_delay_s: float = 0.0

    def __post_init__(self) -> None:
        if not -10.0 <= self.action_delay_s <= 10.0:  # also true for NaN
            raise ConversionError(
                f"action delay is {self.action_delay_s} s, expected -10 s to 10 s"
            )

    @property
    def action_delay_ns(self) -> int:
        """`action_delay_s` in nanoseconds."""
        return round(self.action_delay_s * _NS_PER_S)

    @cached_property
    def key(self) -> str:
        """Another one for other rows (hex)."""
        values = {
            "format_version": FORMAT_VERSION,
            "software": __version__,
            "contract": contract_text(self.contract),
            "limits": asdict(self.limits),
            "action_delay_ns": self.action_delay_ns,
            "pixel_row_step": PIXEL_ROW_STEP,
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class BagJob:
    """One bag to convert.

    Attributes:
        bag: Path of the bag.
        folder: Of the parts.
        options: What decides the rows.
        include: Outcomes that are wanted.
        known: A part that was made of a bag with the same fingerprint; its bag is not read.
    """

    bag: Path
    folder: Path
    options: ConversionOptions
    include: frozenset[str]
    known: Path | None = None


@dataclass(frozen=True, eq=False)
class BagResult:
    """One bag after its conversion: a part, or the reason why there is none.

    Attributes:
        bag: Path of the bag.
        part: Its rows.
        is_new: Whether the part was made just now.
        skipped: Why there is no part, one sentence.
        is_damaged: Whether that is a fault; False if the bag is not wanted.
        record: For the conversion report.
    """

    bag: Path
    part: PartRecord | None = None
    is_new: bool = False
    skipped: str = ""
    is_damaged: bool = False
    record: Mapping[str, Any] = field(default_factory=dict)


def convert_bag(job: BagJob) -> BagResult:
    """Convert one bag, or find the part that it has already become.

    Raises:
        DatasetError: If the part cannot be written.
    """
    metadata = BagMetadata(job.bag)
    try:
        if not job.bag.exists():
            raise ConversionError(
                f"bag {job.bag} does not exist on {platform.node()}; bags and output must have "
                "the same paths on every machine that converts"
            )
        folder = open_folder(job.bag)
        metadata = folder.metadata
        if reason := _why_unwanted(metadata, job.include):
            return BagResult(job.bag, skipped=reason, record=describe_skipped(metadata, reason))
        found = _read_known(job.known)
        part, is_new = (found, False) if found else _convert(job, folder)
        record = {**part.head.report, "bag": str(job.bag)}
        return BagResult(job.bag, part, is_new, record=record)
    except ConversionError as error:
        return BagResult(
            job.bag,
            skipped=str(error),
            is_damaged=True,
            record=describe_skipped(metadata, str(error)),
        )


def _read_known(path: Path | None) -> PartRecord | None:
    """A part that was made before, if it is whole."""
    try:
        return read_part(path) if path is not None and path.exists() else None
    except DatasetError:
        return None  # it is made again


def _convert(job: BagJob, folder: BagFolder) -> tuple[PartRecord, bool]:
    """The part of a bag, and whether it was made just now."""
    contract, options = job.options.contract, job.options
    mark = fingerprint(job.bag)
    job.folder.mkdir(parents=True, exist_ok=True)
    with BagMessages(folder, scratch=job.folder) as bag:
        path = job.folder / part_name(job.bag, bag.sha256, options.key)
        if found := _read_known(path):
            return found, False
        alignment = BagAlignment(bag, contract, options.limits, options.action_delay_ns)
        actions = []
        with PartWriter(path, contract, alignment.rows) as writer:
            for rows in alignment.blocks(drivers_at(bag, alignment.ticks_ns)):
                writer.append(rows)
                actions.append(rows[ACTION][rows[ACTION_VALID]])
            head = PartHead(
                options=options.key,
                fingerprint=mark,
                bag_sha256=bag.sha256,
                bag=str(job.bag),
                report=describe_bag(bag, alignment, contract, np.concatenate(actions)),
            )
            return writer.finish(head, _episodes(bag, alignment)), True


def part_name(bag: Path, sha256: str, options_key: str) -> str:
    """File name of the part of a bag: another one for other contents or options."""
    name = re.sub(r"[^\w.-]", "_", bag.name)[:80]
    return f"{name}-{sha256[:16]}-{options_key[:8]}.h5"


def _episodes(bag: BagMessages, alignment: BagAlignment) -> list[EpisodeRecord]:
    metadata = bag.metadata
    seed = NO_SEED if metadata.seed is None else metadata.seed
    episodes = []
    start = 0
    for number, episode in enumerate(alignment.episodes):
        episodes.append(
            EpisodeRecord(
                start=start,
                length=len(episode.ticks_ns),
                split=TRAINING,
                seed=seed,
                group=group_of(seed, bag.sha256, metadata.group),
                goal=NO_GOAL if metadata.goal is None else metadata.goal,
                instruction=metadata.instruction,
                outcome=metadata.outcome,
                operator=metadata.operator,
                suite=metadata.suite,
                bag=metadata.name,
                bag_sha256=bag.sha256,
                segment=number,
                paraphrases=json.dumps(list(metadata.paraphrases), ensure_ascii=False),
            )
        )
        start += len(episode.ticks_ns)
    return episodes


def _why_unwanted(metadata: BagMetadata, include: frozenset[str]) -> str:
    """Why an intact bag must stay out of the data set; empty if it may come in."""
    if metadata.outcome not in include:
        return (
            f"bag {metadata.path} has outcome {metadata.outcome}, included are "
            f"{', '.join(sorted(include))}"
        )
    if metadata.seed is not None and is_held_out(metadata.seed):
        return (
            f"bag {metadata.path} has seed {metadata.seed}, which is held out for evaluation; "
            f"seeds below {FIRST_HELD_OUT_SEED} are for training"
        )
    return ""
