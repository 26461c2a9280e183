"""Training samples in PyTorch: observations and the chunk of actions that follows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vla_core import keys
from vla_core.contract_specs import ImageDecoder
from vla_core.language import Vocabulary
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    DOCK_POSE,
    DOCK_POSE_VALID,
    VALID,
    EpisodeRecord,
    describe_data,
    observation,
)
from vla_training.errors import DatasetError

Batch = dict[str, Tensor]
"""Tensors by key, see `DockingDataset.batch`."""

DOCK_POSE_KNOWN = "dock_pose_is_known"

_MEMORY_SHARE = 0.6


class DockingDataset(Dataset[Batch]):
    """Samples of one split; images in memory where they fit.

    A sample begins at any row whose action is known and of which at least one stream is valid.

    Args:
        path: Data set file.
        split: "training" or "validation".
        vocabulary: Encodes the instructions; None to make one of the training episodes' sentences.
        in_memory: Whether to hold the images in memory; None to decide by the free memory.

    Attributes:
        contract: What the samples are.
        statistics: Of the training episodes.
        vocabulary: The words.
        episodes: Episodes of the split.
        provenance: Of the whole file, see `dataset_layout.describe_data`.

    Raises:
        DatasetError: If the file cannot be used or the split has no sample.
    """

    def __init__(
        self,
        path: str | Path,
        split: str = "training",
        vocabulary: Vocabulary | None = None,
        in_memory: bool | None = None,
    ) -> None:
        self._file = DatasetFile(path)
        file = self._file
        self.contract, self.statistics = file.contract, file.statistics
        self.episodes = file.split(split)
        self.provenance = describe_data(file.path.name, file.episodes)
        if not self.episodes:
            raise DatasetError(f"data set {path} has no {split} episode; convert more bags")
        if vocabulary is None:
            sentences = [record.instruction for record in file.split("training")]
            vocabulary = Vocabulary.from_sentences(with_mirrored(sentences))
        self.vocabulary = vocabulary
        self._streams = {
            stream.key: self._load(observation(stream.key), in_memory)
            if isinstance(stream.decoder, ImageDecoder)
            else torch.from_numpy(file.gather(observation(stream.key), self.episodes))
            for stream in self.contract.streams
        }
        self._valid = torch.from_numpy(file.gather(VALID, self.episodes))
        self._action = torch.from_numpy(file.gather(ACTION, self.episodes))
        self._action_valid = torch.from_numpy(file.gather(ACTION_VALID, self.episodes))
        self._dock_pose = torch.from_numpy(file.gather(DOCK_POSE, self.episodes))
        self._dock_pose_valid = torch.from_numpy(file.gather(DOCK_POSE_VALID, self.episodes))
        lengths = np.array([record.length for record in self.episodes])
        self._end = torch.from_numpy(np.repeat(np.cumsum(lengths), lengths))
        episode = np.repeat(np.arange(len(lengths)), lengths)
        sentences_by_episode = [vocabulary.encode(record.instruction) for record in self.episodes]
        self._episode = torch.from_numpy(episode)
        self._instructions = torch.from_numpy(np.stack(sentences_by_episode))
        self._starts = torch.nonzero(self._action_valid & self._valid.any(1)).squeeze(1)
        if len(self._starts) == 0:
            raise DatasetError(f"data set {path}: no usable row in its {split} episodes")

    def _load(self, name: str, in_memory: bool | None) -> Tensor | _RowsOnDisk:
        rows = sum(record.length for record in self.episodes)
        row_bytes = int(self._file.read(name, slice(0, 1)).nbytes)
        if in_memory is None:
            in_memory = rows * row_bytes < _MEMORY_SHARE * psutil.virtual_memory().available
        if in_memory:
            return torch.from_numpy(self._file.gather(name, self.episodes))
        return _RowsOnDisk(self._file, name, self.episodes)

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def frames(self) -> int:
        """Rows of the split."""
        return len(self._valid)

    def batch(self, indices: Tensor) -> Batch:
        """Gather a whole batch at once.

        Args:
            indices: (B,) int64 sample indices.

        Returns:
            One tensor per stream, such as image (B, H, W, 3) uint8, scan (B, beams) float32 [m],
            odometry (B, 2) float32 [m/s, rad/s]; and
            valid (B, S) float32, instruction (B, 16) int64, action (B, H, A) float32,
            action_is_pad (B, H) bool, dock_pose (B, 3) float32 [m, m, rad] and
            dock_pose_is_known (B,) bool. All are copies.
        """
        rows = self._starts[indices]
        future = rows[:, None] + torch.arange(self.contract.action.chunk_length)
        end = self._end[rows][:, None]
        beyond = future >= end
        future = torch.minimum(future, end - 1)
        batch = {key: data[rows] for key, data in self._streams.items()}
        batch[keys.VALID] = self._valid[rows].float()
        batch[keys.INSTRUCTION] = self._instructions[self._episode[rows]]
        batch[keys.ACTION] = self._action[future]
        batch[keys.ACTION_PAD] = beyond | ~self._action_valid[future]
        batch[keys.DOCK_POSE] = self._dock_pose[rows]
        batch[DOCK_POSE_KNOWN] = self._dock_pose_valid[rows]
        return batch

    def __getitem__(self, index: int) -> Batch:
        """One sample: as `batch`, without the first axis."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return {key: value[0] for key, value in self.batch(torch.tensor([index])).items()}

    def batches(self, size: int) -> Iterator[Batch]:
        """All samples in order, in batches up to a size."""
        for indices in torch.arange(len(self)).split(size):
            yield self.batch(indices)


class _RowsOnDisk:
    """Rows of an array that stays in the file."""

    def __init__(self, file: DatasetFile, name: str, episodes: list[EpisodeRecord]) -> None:
        self._file = file
        self._name = name
        self._rows = np.concatenate([np.arange(e.start, e.start + e.length) for e in episodes])

    def __getitem__(self, indices: Tensor) -> Tensor:
        rows = self._rows[indices.numpy()]
        return torch.from_numpy(
            np.stack([self._file.read(self._name, slice(r, r + 1))[0] for r in rows])
        )


class ShuffledBatches:
    """Which samples make up the batch of a step: a function of seed and step alone.

    Every epoch is another permutation; what does not fill a batch is left out.

    Args:
        samples: Number of samples.
        batch_size: Samples of a batch; capped at the number of samples.
        seed: Of the permutations.
    """

    def __init__(self, samples: int, batch_size: int, seed: int) -> None:
        self._samples = samples
        self._size = min(batch_size, samples)
        self._per_epoch = samples // self._size
        self._seed = seed
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def indices(self, step: int) -> Tensor:
        """(B,) int64 sample indices of a step, counted from 0."""
        epoch, position = divmod(step, self._per_epoch)
        if epoch != self._epoch:
            generator = np.random.default_rng([self._seed, epoch])
            self._order = torch.from_numpy(generator.permutation(self._samples))
            self._epoch = epoch
        return self._order[position * self._size : (position + 1) * self._size]


def with_mirrored(sentences: list[str]) -> list[str]:
    """The sentences, and the words left and right if either is among them."""
    text = " ".join(sentences).casefold()
    return [*sentences, "left right"] if "left" in text or "right" in text else sentences
