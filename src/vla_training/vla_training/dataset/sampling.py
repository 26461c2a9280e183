"""Which samples make up which batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler


class ShuffledBatches(Sampler[Tensor]):
    """Which samples make up the batch of a step: a function of seed and step alone.

    Every epoch is another permutation; what does not fill a batch is left out. As a batch sampler
    of a DataLoader it goes on for ever from `first_step`, which is where a resumed run begins.

    Args:
        samples: Number of samples.
        batch_size: Samples of a batch; capped at the number of samples.
        seed: Of the permutations.
        first_step: Where iteration begins.
    """

    def __init__(self, samples: int, batch_size: int, seed: int, first_step: int = 0) -> None:
        self._samples = samples
        self._size = min(batch_size, samples)
        self._per_epoch = samples // self._size
        self._seed = seed
        self._first_step = first_step
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

    def __iter__(self) -> Iterator[Tensor]:
        """The batches of step after step, without an end."""
        step = self._first_step
        while True:
            yield self.indices(step)
            step += 1


class FocusedBatches:
    """Batches of which a share comes from some of the samples, and the rest from all of them.

    Both run through their own permutations, see `ShuffledBatches`; within a batch they are mixed,
    so that every shard of it has its part.

    Args:
        samples: Number of samples.
        batch_size: Samples of a batch; capped at the number of samples.
        seed: Of the permutations.
        focus: (F,) int64 indices of the samples to see more often, at least one.
        share: Of a batch, 0 to 1.
    """

    def __init__(
        self, samples: int, batch_size: int, seed: int, focus: Tensor, share: float
    ) -> None:
        size = min(batch_size, samples)
        count = min(round(share * size), size - 1, len(focus))
        self._focus = focus
        self._focused = ShuffledBatches(len(focus), max(count, 1), seed) if count else None
        self._all = ShuffledBatches(samples, size - count, seed)
        self._seed = seed

    def indices(self, step: int) -> Tensor:
        """(B,) int64 sample indices of a step, counted from 0."""
        indices = self._all.indices(step)
        if self._focused is None:
            return indices
        indices = torch.cat([indices, self._focus[self._focused.indices(step)]])
        order = np.random.default_rng([self._seed, step]).permutation(len(indices))
        return indices[torch.from_numpy(order)]
