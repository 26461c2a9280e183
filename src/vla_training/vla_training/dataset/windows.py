"""Training samples in PyTorch: what was observed, and the chunk of actions that follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vla_core import keys
from vla_core.language import Vocabulary
from vla_training.dataset.batch import DOCK_POSE_KNOWN, PARAPHRASES, Batch
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    DOCK_POSE,
    DOCK_POSE_VALID,
    VALID,
    describe_data,
    observation,
    row_specs,
)
from vla_training.dataset.mirroring import with_mirrored
from vla_training.dataset.sampling import ShuffledBatches
from vla_training.dataset.sentences import EpisodeSentences, all_sentences
from vla_training.dataset.storage import RowStore, Storage, choose_storage, open_rows
from vla_training.errors import DatasetError

__all__ = ["DOCK_POSE_KNOWN", "Batch", "DockingDataset", "ShuffledBatches", "make_loader"]


class DockingDataset(Dataset[Batch]):
    """Samples of one split; whole batches are gathered at once.

    A sample begins at any row whose action is known and of which at least one stream is valid. Its
    window never leaves the episode: rows before the beginning are marked invalid, actions beyond
    the end as padding.

    It may be used from DataLoader workers. Forked ones share its memory; a copy that is sent to
    another process maps the file there, whatever the storage was.

    Args:
        path: Data set file.
        split: "training", "validation" or "test".
        vocabulary: Encodes the instructions; None to make one of the training episodes' sentences.
        storage: Where observations are kept: on the "device", in "memory" or "mapped" from the
            file (if they are not compressed); "auto" for the fastest that has room, see
            `storage.choose_storage`. Labels are on the device or in memory.
        device: That trains.
        history: Frames T of an observation, the newest included.
        stride: Control periods between two of them.
        limit_episodes: Use the first so many episodes only, to see what fewer data do.
        paraphrase: Probability of another sentence that commands the same, where batches are
            drawn with a generator.

    Attributes:
        contract: What the samples are.
        statistics: Of the training episodes.
        vocabulary: The words.
        episodes: Episodes of the split.
        provenance: Of the whole file, see `layout.describe_data`.
        storage: The one that was chosen.
        device: Where batches are.

    Raises:
        DatasetError: If the file cannot be used or the split has no sample.
    """

    def __init__(
        self,
        path: str | Path,
        split: str = "training",
        vocabulary: Vocabulary | None = None,
        *,
        storage: Storage = "auto",
        device: torch.device | str = "cpu",
        history: int = 1,
        stride: int = 1,
        limit_episodes: int | None = None,
        paraphrase: float = 0.0,
    ) -> None:
        if history < 1 or stride < 1:
            raise DatasetError(
                f"history {history} with stride {stride}: both have to be at least 1"
            )
        self._recipe = {
            "path": str(path),
            "split": split,
            "history": history,
            "stride": stride,
            "limit_episodes": limit_episodes,
            "paraphrase": paraphrase,
        }
        self._paraphrase = paraphrase
        with DatasetFile(path) as file:
            self.contract, self.statistics = file.contract, file.statistics
            self.episodes = file.split(split)[:limit_episodes]
            self.provenance = describe_data(file.path.name, file.episodes)
            if not self.episodes:
                raise DatasetError(f"data set {path} has no {split} episode; convert more bags")
            if vocabulary is None:
                sentences = all_sentences(file.split("training"))
                vocabulary = Vocabulary.from_sentences(with_mirrored(sentences))
            self.vocabulary = vocabulary
            self._open_streams(file, storage, torch.device(device))
            self._open_labels(file, history, stride)
        if len(self._starts) == 0:
            raise DatasetError(f"data set {path}: no usable row in its {split} episodes")

    def _open_streams(self, file: DatasetFile, storage: Storage, device: torch.device) -> None:
        specs = {spec.name: spec for spec in row_specs(file.contract)}
        chosen = {key: specs[observation(key)] for key in self.contract.keys}
        if storage == "auto":
            rows = sum(record.length for record in self.episodes)
            size = rows * sum(spec.row_bytes for spec in chosen.values())
            storage = choose_storage(size, device)
        self.storage = storage
        self.device = device if storage == "device" else torch.device("cpu")
        self._streams: dict[str, RowStore] = {
            key: open_rows(file, self.episodes, spec, storage, device)
            for key, spec in chosen.items()
        }

    def _open_labels(self, file: DatasetFile, history: int, stride: int) -> None:
        """Everything that is not observed, by sample, so that a batch is one gather of each.

        The chunks are laid out as well: a few bytes beside an image, and a good part of the time
        of a batch otherwise.
        """

        def load(name: str) -> Tensor:
            return torch.from_numpy(file.gather(name, self.episodes))

        action, action_valid, valid = load(ACTION), load(ACTION_VALID), load(VALID)
        lengths = torch.tensor([record.length for record in self.episodes])
        ends = lengths.cumsum(0)
        starts = torch.nonzero(action_valid & valid.any(1)).squeeze(1)
        episode = torch.arange(len(lengths)).repeat_interleave(lengths)[starts]
        future = starts[:, None] + torch.arange(self.contract.action.chunk_length)
        last = ends[episode][:, None] - 1
        inside = torch.minimum(future, last)
        labels = {
            keys.VALID: valid[starts].float(),
            keys.ACTION: action[inside],
            keys.ACTION_PAD: (future > last) | ~action_valid[inside],
            keys.DOCK_POSE: load(DOCK_POSE)[starts],
            DOCK_POSE_KNOWN: load(DOCK_POSE_VALID)[starts],
        }
        self._labels = {key: value.to(self.device) for key, value in labels.items()}
        self._sentences = EpisodeSentences(self.episodes, self.vocabulary, self.device)
        self._episode, self._starts = episode.to(self.device), starts.to(self.device)
        self._past = (torch.arange(1 - history, 1) * stride).to(self.device)
        self._first = (ends - lengths).to(self.device)
        self._valid = valid.to(self.device)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy in another process needs to open the same samples; no row is sent."""
        return {
            **self._recipe,
            "vocabulary": self.vocabulary,
            "episodes": self.provenance["episodes_sha256"],
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the file again, mapped.

        Raises:
            DatasetError: If it has changed in between.
        """
        state = dict(state)
        expected = state.pop("episodes")
        self.__init__(storage="mapped", **state)  # type: ignore[misc]
        if self.provenance["episodes_sha256"] != expected:
            raise DatasetError(
                f"data set {state['path']} was replaced while it was in use; start again"
            )

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def frames(self) -> int:
        """Rows of the split."""
        return len(self._valid)

    def samples_of_episodes(self) -> list[range]:
        """Sample indices of each episode of the split, in order; empty where it has none."""
        counts = torch.bincount(self._episode, minlength=len(self.episodes))
        ends = counts.cumsum(0)
        return [range(a, b) for a, b in zip((ends - counts).tolist(), ends.tolist(), strict=True)]

    def batch(self, indices: Tensor, generator: torch.Generator | None = None) -> Batch:
        """Gather a whole batch at once.

        Args:
            indices: (B,) int64 sample indices.
            generator: Of the CPU, draws paraphrases; None for the sentences that were given.

        Returns:
            One tensor per stream, such as image (B, H, W, 3) uint8, scan (B, beams) float32 [m],
            odometry (B, 2) float32 [m/s, rad/s]; and
            valid (B, S) float32, instruction (B, 16) int64, action (B, H, A) float32,
            action_is_pad (B, H) bool, dock_pose (B, 3) float32 [m, m, rad] and
            dock_pose_is_known (B,) bool; with a generator, paraphrases (B, P, 16) int64. With a
            history of T > 1 frames, streams and valid have a time axis after the first, oldest
            frame first; frames from before the episode are invalid and zero. All are copies.
        """
        indices = indices.to(self.device)
        episode = self._episode.index_select(0, indices)
        batch = self._observe(self._starts.index_select(0, indices), episode)
        if generator is None:
            batch[keys.INSTRUCTION] = self._sentences.of(episode)
        else:
            batch[keys.INSTRUCTION] = self._sentences.drawn(episode, self._paraphrase, generator)
            batch[PARAPHRASES] = self._sentences.ways(episode)
        for key, labels in self._labels.items():
            # Of a history, all frames have a validity.
            if key not in batch:
                batch[key] = labels.index_select(0, indices)
        return batch

    def _observe(self, rows: Tensor, episode: Tensor) -> Batch:
        """Streams of the frames that end at rows (B,) of episodes (B,)."""
        if len(self._past) == 1:
            return {key: stream.take(rows) for key, stream in self._streams.items()}
        frames = rows[:, None] + self._past  # (B, T)
        first = self._first.index_select(0, episode)[:, None]
        before = frames < first
        frames = torch.maximum(frames, first)
        batch = {}
        for key, stream in self._streams.items():
            taken = stream.take(frames.flatten())
            batch[key] = taken.view(*frames.shape, *taken.shape[1:])
            batch[key][before] = 0
        batch[keys.VALID] = (self._valid[frames] & ~before[..., None]).float()
        return batch

    def __getitem__(self, index: int) -> Batch:
        """One sample: as `batch`, without the first axis."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        wanted = torch.tensor([index % len(self)])
        return {key: value[0] for key, value in self.batch(wanted).items()}

    def __getitems__(self, indices: Sequence[int] | Tensor) -> Batch:
        """A batch, for a DataLoader, which must not collate it again; see `make_loader`."""
        return self.batch(torch.as_tensor(indices, dtype=torch.int64))

    def on_the_way_in(self, distance_m: float) -> Tensor:
        """(F,) int64 indices of samples close to the dock whose action is not to rest in it.

        Args:
            distance_m: From the docked pose, at most; samples without a known pose are left out.
        """
        pose, action = self._labels[keys.DOCK_POSE], self._labels[keys.ACTION]
        close = pose[:, :2].norm(dim=1) <= distance_m
        moving = action[:, 0].ne(0.0).any(dim=1)
        return torch.nonzero(self._labels[DOCK_POSE_KNOWN] & close & moving).squeeze(1).cpu()

    def batches(self, size: int) -> Iterator[Batch]:
        """All samples in order, in batches up to a size."""
        for indices in torch.arange(len(self)).split(size):
            yield self.batch(indices)


def make_loader(
    dataset: DockingDataset,
    batch_size: int,
    *,
    seed: int = 0,
    first_step: int = 0,
    workers: int = 0,
    start_method: str | None = None,
) -> DataLoader[Batch]:
    """A DataLoader of shuffled batches without an end, for training loops of others.

    Args:
        dataset: Whose samples.
        batch_size: Samples of a batch.
        seed: Of the order.
        first_step: Where a resumed run goes on: the same batches follow as without a stop.
        workers: Processes that gather; 0 to gather in the caller.
        start_method: "fork", "forkserver" or "spawn"; None for the system's.

    Raises:
        DatasetError: If workers shall read what lies on a device.
    """
    if workers and dataset.storage == "device":
        raise DatasetError("workers cannot read rows on a device; use workers=0 or storage mapped")
    return DataLoader(
        dataset,
        # Tensors of indices and whole batches pass through; torch's types know lists only.
        batch_sampler=ShuffledBatches(len(dataset), batch_size, seed, first_step),  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_as_is,  # type: ignore[arg-type]
        multiprocessing_context=start_method if workers else None,
    )


def _as_is(batch: Batch) -> Batch:
    return batch
