"""Targets that are text: configuration, results, what a person says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml

from vla_bringup.fuzzing.errors import AcceptedError
from vla_bringup.fuzzing.formats import Document, json_document, yaml_document
from vla_bringup.fuzzing.samples import CONTRACT_TEXT, SENTENCES
from vla_bringup.fuzzing.subject import Subject
from vla_core.contract import Contract
from vla_core.language import SENTENCE_LENGTH, Vocabulary, words_of
from vla_core.sentence_encoder import plain_sentence
from vla_policy_node.docking.dock_database import DockDatabase
from vla_training.configuration import from_dict, preset_names, to_dict
from vla_training.dataset.mirroring import with_mirrored
from vla_training.evaluation.compare import compare
from vla_training.evaluation.conclusions import conclusions, metric_row
from vla_training.evaluation.correlation import LEAST_POLICIES, correlate, correlation_rows
from vla_training.pretraining_config import load_pretraining_config
from vla_training.sweep_config import load_sweep
from vla_training.training_config import TrainingConfig, load_training_config

_OVERRIDE: Final = b"--set "
_MARGIN: Final = 0.02


class _YamlFile(Subject):
    suffix: ClassVar[str] = ".yaml"
    format = yaml_document()

    def _write(self, data: bytes) -> Path:
        path = self.scratch / "file.yaml"
        path.write_bytes(data)
        return path


class ContractFile(_YamlFile):
    """A contract; what is accepted says the same after it was written and read."""

    def seeds(self) -> list[bytes]:
        """The shipped one and small ones."""
        from vla_bringup.resources import default_contract

        compressed = CONTRACT_TEXT.replace("msg/Image", "msg/CompressedImage")
        whole_turn = CONTRACT_TEXT.replace("-2.0", "-3.14159").replace("2.0,", "3.14159,")
        texts = (CONTRACT_TEXT, compressed, whole_turn, default_contract().read_text())
        return [text.encode() for text in texts]

    def consume(self, data: bytes) -> None:
        """Load it, write it, read it."""
        contract = Contract.load(self._write(data))
        again = Contract.from_yaml(contract.to_yaml())
        if again != contract or again.hash != contract.hash:
            raise AcceptedError("the contract is another one after it was written and read")
        if contract.differences(again, "here", "there"):
            raise AcceptedError("the contract differs from itself")


class TrainingFile(_YamlFile):
    """A preset of somebody's own, or an override of the command line."""

    def seeds(self) -> list[bytes]:
        """Shipped presets, and overrides."""
        import vla_training

        folder = Path(vla_training.__file__).parent / "presets"
        overrides = ("steps=20", "loss.terminal=2.0", "optimizer={warmup: 0.1}", "batch_size=8")
        return [
            *((folder / f"{name}.yaml").read_bytes() for name in preset_names()[:6]),
            *(_OVERRIDE + text.encode() for text in overrides),
        ]

    def consume(self, data: bytes) -> None:
        """Read it as `vla train` and `vla pretrain` do."""
        if data.startswith(_OVERRIDE):
            text = data.removeprefix(_OVERRIDE).decode("utf-8", "surrogateescape")
            self._check(load_training_config(__file__, "out", overrides=[text]))
            return
        path = self._write(data)
        self._check(load_training_config(__file__, "out", preset=path))
        load_pretraining_config(__file__, "out", preset=path)

    def _check(self, config: TrainingConfig) -> None:
        if from_dict(TrainingConfig, to_dict(config), "itself") != config:
            raise AcceptedError("the configuration is another one after it was written and read")


class SweepFile(_YamlFile):
    """A sweep, and the trainings that it means."""

    def seeds(self) -> list[bytes]:
        """Both methods."""
        random = {
            "trials": 3,
            "seed": 1,
            "metric": "successes",
            "set": ["steps=20"],
            "values": {
                "optimizer.learning_rate": {"low": "1e-4", "high": 1e-2, "log": True},
                "batch_size": [32, 64],
                "seed": {"low": 1, "high": 9, "whole": True},
            },
        }
        grid = {
            "preset": "docking",
            "method": "grid",
            "values": {"loss.terminal": [0.0, 2.0], "seed": [1, 2]},
        }
        return [yaml.safe_dump(values).encode() for values in (random, grid)]

    def consume(self, data: bytes) -> None:
        """Read it, and draw its first training."""
        sweep = load_sweep(self._write(data))
        if sweep.trials <= 1000:
            sweep.training(0, Path(__file__), Path("out"))


class DockFile(_YamlFile):
    """Stations by name, and what is said for each."""

    def seeds(self) -> list[bytes]:
        """One with all that it may hold."""
        values = {
            "docks": {
                "bay_1": {"type": "orange", "frame": "map", "pose": [10.0, 2.0, 1.57]},
                "bay_2": {"instruction": SENTENCES[0]},
            },
            "dock_types": {"orange": {"instruction": SENTENCES[1]}},
        }
        return [yaml.safe_dump(values, allow_unicode=True).encode()]

    def consume(self, data: bytes) -> None:
        """Load it, and ask for everything in it."""
        database = DockDatabase.load(str(self._write(data)))
        for name in database.docks:
            database.dock(name)
        for name in database.instructions:
            database.instruction_of_type(name)


class EvaluationFile(Subject):
    """Results in and beside intact ones: which policy is better, do offline metrics tell."""

    suffix: ClassVar[str] = ".json"
    format = json_document()

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self._intact, self._offline = scratch / "intact.json", scratch / "offline.json"
        self._intact.write_text(json.dumps(_evaluation("intact")))
        self._offline.write_text(json.dumps(_offline_report()))

    def seeds(self) -> list[bytes]:
        """One suite, several, and offline metrics."""
        several = {"suites": {name: _evaluation("other", name) for name in ("nominal", "clutter")}}
        documents = (_evaluation("other"), several, _offline_report())
        return [json.dumps(each).encode() for each in documents]

    def consume(self, data: bytes) -> None:
        """What `vla compare` and `vla correlate` do with it."""
        path = self.scratch / "results.json"
        path.write_bytes(data)
        offline = b'"headline"' in data
        if offline:
            self._correlate([path] * LEAST_POLICIES, [self._intact] * LEAST_POLICIES)
            return
        for each in compare(path, self._intact, common=True):
            json.dumps({**each.to_dict(), "conclusions": conclusions(each, _MARGIN)})
            for metric in each.metrics:
                metric_row(metric)
        self._correlate([self._offline] * LEAST_POLICIES, [path] * LEAST_POLICIES)

    def _correlate(self, offline: list[Path], closed: list[Path]) -> None:
        report = correlate(offline, closed)
        json.dumps(report)
        list(correlation_rows(report))


class Instruction(Subject):
    """A sentence, as a goal, a file or a person gives it."""

    suffix: ClassVar[str] = ".txt"
    format = Document(bytes.decode, str, ("\ud800", "\u200b", "İ", "ﬀ", "ᄒ", "\u0300" * 40, "٣"))

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self._vocabulary = Vocabulary.from_sentences(SENTENCES)

    def seeds(self) -> list[bytes]:
        """Sentences in two scripts."""
        return [sentence.encode() for sentence in (*SENTENCES, "don't; dock NOW — at n°3", "")]

    def consume(self, data: bytes) -> None:
        """Everything that is done with a sentence before a policy hears it."""
        sentence = data.decode("utf-8", "surrogateescape")
        words = words_of(sentence)
        if words_of(" ".join(words)) != words:
            raise AcceptedError("the words of a sentence are other words when read again")
        if Vocabulary.from_json(Vocabulary(dict.fromkeys(words)).to_json()).words != tuple(
            dict.fromkeys(words)
        ):
            raise AcceptedError("a vocabulary is another one after it was written and read")
        if self._vocabulary.encode(sentence).shape != (SENTENCE_LENGTH,):
            raise AcceptedError("an encoded sentence has another length")
        self._vocabulary.problems(sentence)
        self._vocabulary.unknown_words(sentence)
        plain_sentence(sentence)
        with_mirrored([sentence])


def _evaluation(policy: str, suite: str = "nominal") -> dict[str, Any]:
    records = [_record(seed, swapped=False) for seed in range(4)]
    return {
        "policy": policy,
        "suite": suite,
        "held_out": True,
        "mode": "receding_horizon",
        "latency_ticks": 1,
        "episodes": len(records),
        "successes": 3,
        "records": records,
        "swapped_records": [_record(seed, swapped=True) for seed in range(2)],
    }


def _record(seed: int, *, swapped: bool) -> dict[str, Any]:
    return {
        "seed": seed,
        "swapped": swapped,
        "success": seed != 1,
        "time_s": 8.0 + seed,
        "longitudinal_error_mm": 1.0 + 0.1 * seed,
        "lateral_error_mm": -0.5 * seed,
        "yaw_error_deg": 0.1,
        "start_distance_m": 1.5,
        "start_bearing_deg": 3.0,
        "start_heading_deg": -4.0,
    }


def _offline_report() -> dict[str, Any]:
    return {"policy": "intact", "headline": {"action_mae": 0.02, "chunk_mae": 0.03}}
