"""The data of a training run: its two splits, and the augmented batch of each step."""

from __future__ import annotations

from typing import cast

import torch

from vla_training.dataset.augmentation import Augmentation
from vla_training.dataset.batch import Batch
from vla_training.dataset.prefetching import Prefetcher
from vla_training.dataset.sampling import ShuffledBatches
from vla_training.dataset.storage import Storage
from vla_training.dataset.windows import DockingDataset
from vla_training.training_config import TrainingConfig


class TrainingData:
    """Opens the data set and makes batches; what a batch holds depends on seed and step alone.

    Args:
        config: Of the run.
        device: That trains.

    Attributes:
        training: The samples to learn from.
        validation: Those of the validation episodes; None without any.

    Raises:
        DatasetError: If the data set cannot be used.
        ConfigurationError: If augmentation and contract contradict each other.
    """

    def __init__(self, config: TrainingConfig, device: torch.device) -> None:
        self._config = config
        self._device = device
        self.training = self._open("training")
        held_out = self.training.provenance["validation_episodes"]
        self.validation = self._open("validation") if held_out else None
        self._augment = Augmentation(
            config.augmentation, self.training.contract, self.training.vocabulary
        )
        self._shuffle = ShuffledBatches(len(self.training), config.batch_size, config.seed)

    def _open(self, split: str) -> DockingDataset:
        return DockingDataset(
            self._config.dataset,
            split,
            None if split == "training" else self.training.vocabulary,
            storage=cast("Storage", self._config.storage),
            device=self._device,
            paraphrase=self._config.augmentation.paraphrase,
        )

    def step_seed(self, step: int) -> int:
        """Seed of everything random in a step."""
        return self._config.seed * 1_000_003 + step

    def batch(self, step: int) -> Batch:
        """The augmented batch of a step, on the device."""
        generator = torch.Generator().manual_seed(self.step_seed(step))
        batch = self.training.batch(self._shuffle.indices(step), generator)
        batch = {key: value.to(self._device) for key, value in batch.items()}
        return self._augment(batch, generator)

    def batches(self, first: int, last: int) -> Prefetcher:
        """The batches of the steps from first to before last, made ahead in a thread."""
        return Prefetcher(self.batch, first, last, self._config.prefetch)
