"""Images of a data set without regard to what they are labelled with."""

from __future__ import annotations

import torch
from torch import Tensor

from vla_core.contract_specs import ImageDecoder
from vla_core.language import Vocabulary
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import VALID, describe_data, observation, row_specs
from vla_training.dataset.mirroring import with_mirrored
from vla_training.dataset.sentences import all_sentences
from vla_training.dataset.storage import RowStore, choose_storage, open_rows
from vla_training.errors import DatasetError


class Frames:
    """The valid images of every camera in a split, with a known action or without one.

    Args:
        path: Data set file.
        split: "training" or "validation"; where there is no validation episode, the training ones.
        device: Where batches are wanted.

    Attributes:
        keys: Of the cameras.
        contract: Of the data set.
        statistics: Of its training episodes.
        vocabulary: Of their sentences.
        provenance: Of the whole file.
        count: Frames of all cameras.

    Raises:
        DatasetError: If the file cannot be used or has no image.
    """

    def __init__(self, path: str, split: str, device: torch.device) -> None:
        self._device = device
        self._stores: dict[str, RowStore] = {}
        self._rows: dict[str, Tensor] = {}
        with DatasetFile(path) as file:
            self.contract, self.statistics = file.contract, file.statistics
            self.provenance = describe_data(file.path.name, file.episodes)
            training = file.split("training")
            self.vocabulary = Vocabulary.from_sentences(with_mirrored(all_sentences(training)))
            episodes = file.split(split) or training
            valid = torch.from_numpy(file.gather(VALID, episodes))
            specs = {spec.name: spec for spec in row_specs(file.contract)}
            for index, stream in enumerate(file.contract.streams):
                seen = torch.nonzero(valid[:, index]).squeeze(1)
                if not isinstance(stream.decoder, ImageDecoder) or not len(seen):
                    continue
                spec = specs[observation(stream.key)]
                storage = choose_storage(len(valid) * spec.row_bytes, torch.device("cpu"))
                cpu = torch.device("cpu")
                self._stores[stream.key] = open_rows(file, episodes, spec, storage, cpu)
                self._rows[stream.key] = seen
        if not self._rows:
            raise DatasetError(f"data set {path} has no image in its {split} episodes")
        self.keys = tuple(self._rows)
        self.count = sum(len(rows) for rows in self._rows.values())

    def batch(self, size: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Random frames, half of them mirrored: (size, H, W, 3) uint8 by camera."""
        batch = {}
        for key, rows in self._rows.items():
            chosen = rows[torch.randint(len(rows), (size,), generator=generator)]
            mirrored = torch.rand(size, generator=generator) < 0.5
            images = self._stores[key].take(chosen)
            images[mirrored] = images[mirrored].flip(2)
            batch[key] = images.to(self._device)
        return batch
