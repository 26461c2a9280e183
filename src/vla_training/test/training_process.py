"""Trains in a process of its own, or in one of several that torchrun has started.

Arguments: files of training configurations as YAML, one after the other; NAME.yaml@N stops after N
steps.
"""

import sys
from pathlib import Path

import yaml

from vla_training.configuration import from_dict
from vla_training.trainer import Trainer
from vla_training.training_config import TrainingConfig


def main(arguments: list[str]) -> None:
    for argument in arguments:
        path, _, stop_after = argument.partition("@")
        config = from_dict(TrainingConfig, yaml.safe_load(Path(path).read_text()), path)
        Trainer(config).run(progress=False, stop_after=int(stop_after or 0) or None)


if __name__ == "__main__":
    main(sys.argv[1:])
