"""The data of a training run: its two splits, and the augmented batches of each step.

A step's batch is cut into shards. What is in a shard depends on seed, step and the shard's number
alone. Every process makes its own shards, one micro-batch after the other; how many processes and
micro-batches there are does not change the samples of a step, nor what is done to them.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor

from vla_training.dataset.augmentation import Augmentation
from vla_training.dataset.batch import SHARD, Batch
from vla_training.dataset.prefetching import Prefetcher
from vla_training.dataset.sampling import FocusedBatches, ShuffledBatches
from vla_training.dataset.storage import Storage
from vla_training.dataset.windows import DockingDataset
from vla_training.errors import DatasetError
from vla_training.guidance import Guides
from vla_training.training_config import TrainingConfig


class TrainingData:
    """Opens the data set and makes the batches of one process.

    Args:
        config: Of the run, its shards counted.
        device: That trains.
        processes: How many train together.
        rank: Number of this one.

    Attributes:
        training: The samples to learn from.
        validation: Those of the validation episodes; None without any.
        batch_size: Samples of a step, over all processes.

    Raises:
        DatasetError: If the data set cannot be used.
        ConfigurationError: If augmentation and contract contradict each other.
    """

    def __init__(
        self, config: TrainingConfig, device: torch.device, processes: int = 1, rank: int = 0
    ) -> None:
        self._config = config
        self._device = device
        self._storage = _storage(config, device, processes)
        self._rank = rank
        self.training = self._open("training")
        held_out = self.training.provenance["validation_episodes"]
        self.validation = self._open("validation") if held_out and rank == 0 else None
        self._augment = Augmentation(
            config.augmentation, self.training.contract, self.training.vocabulary
        )
        self._guides = Guides(config.loss, self.training.contract, self.training.vocabulary, device)
        samples = len(self.training)
        if samples < config.shards:
            raise DatasetError(
                f"data set {config.dataset} has {samples} training samples, which cannot be cut "
                f"into {config.shards} shards; convert more bags or use fewer processes"
            )
        self._shard_size = min(config.batch_size, samples) // config.shards
        self._own_shards = config.shards // (processes * config.accumulate)
        self.batch_size = self._shard_size * config.shards
        self._shuffle = self._order(samples)

    def _open(self, split: str) -> DockingDataset:
        return DockingDataset(
            self._config.dataset,
            split,
            None if split == "training" else self.training.vocabulary,
            storage=self._storage,
            device=self._device,
            paraphrase=self._config.augmentation.paraphrase,
        )

    def _order(self, samples: int) -> ShuffledBatches | FocusedBatches:
        config = self._config
        if not config.near_share:
            return ShuffledBatches(samples, self.batch_size, config.seed)
        near = self.training.on_the_way_in(config.near_m)
        if not len(near):
            raise DatasetError(
                f"data set {config.dataset} has no training sample whose station is known to be "
                f"within {config.near_m:g} m, near_m, which near_share={config.near_share:g} asks "
                "for; set near_share=0"
            )
        return FocusedBatches(samples, self.batch_size, config.seed, near, config.near_share)

    def shards(self, number: int) -> range:
        """Numbers of the shards of a micro-batch, counted from the first step on."""
        micro_batch = number % self._config.accumulate
        first = (self._rank * self._config.accumulate + micro_batch) * self._own_shards
        return range(first, first + self._own_shards)

    def seed(self, number: int) -> int:
        """Seed of whatever is random in policy and loss for a micro-batch."""
        step = number // self._config.accumulate
        return shard_seed(self._config.seed, step, self.shards(number)[0])

    def batch(self, number: int) -> Batch:
        """An augmented micro-batch of this process, on the device."""
        step = number // self._config.accumulate
        indices = self._shuffle.indices(step).split(self._shard_size)
        parts = [self._shard(indices[shard], step, shard) for shard in self.shards(number)]
        batch = parts[0]
        if len(parts) > 1:
            batch = {key: torch.cat([part[key] for part in parts]) for key in batch}
        return self._guides(batch)

    def _shard(self, indices: Tensor, step: int, shard: int) -> Batch:
        generator = torch.Generator().manual_seed(shard_seed(self._config.seed, step, shard))
        batch = self.training.batch(indices, generator)
        batch[SHARD] = torch.full((len(indices),), shard)
        batch = {key: value.to(self._device) for key, value in batch.items()}
        return self._augment(batch, generator)

    def batches(self, first: int, last: int) -> Prefetcher:
        """The micro-batches of the steps from first to before last, made ahead in a thread."""
        count = self._config.accumulate
        return Prefetcher(self.batch, first * count, last * count, self._config.prefetch)


def shard_seed(seed: int, step: int, shard: int) -> int:
    """Seed of everything random in a shard of a step."""
    state = np.random.SeedSequence([seed, step, shard]).generate_state(1, np.uint64)
    return int(state[0]) >> 1


def _storage(config: TrainingConfig, device: torch.device, processes: int) -> Storage:
    """Processes on CPUs share the system's copy of the file rather than hold one each."""
    if config.storage == "auto" and processes > 1 and device.type == "cpu":
        return "mapped"
    return cast("Storage", config.storage)
