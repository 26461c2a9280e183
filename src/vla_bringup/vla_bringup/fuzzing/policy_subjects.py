"""Targets that are policy bundles."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from vla_bringup.fuzzing.errors import AcceptedError
from vla_bringup.fuzzing.formats import (
    Files,
    Folder,
    folder_bytes,
    json_document,
    pack,
    write_folder,
    yaml_document,
)
from vla_bringup.fuzzing.samples import SENTENCES, small_contract, statistics_of, write_graph
from vla_bringup.fuzzing.subject import Subject
from vla_core.bundle import (
    CONTRACT_FILE,
    ENCODER_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    PolicyBundle,
    write_bundle,
)
from vla_core.confidence import (
    CHUNKS,
    NOVELTY_FILE,
    ConfidenceLimits,
    ConfidenceMonitor,
    FeatureGroup,
    NoveltyModel,
    load_novelty,
)
from vla_core.contract import Contract
from vla_core.errors import VlaError
from vla_core.language import Vocabulary
from vla_core.sentence_encoder import load_sentence_encoder
from vla_policy_node.inference.runtimes.onnx import OnnxRuntime
from vla_policy_node.inference.worker import blank_frame

_FEATURES: Final = 5
_TOKENIZER: Final[dict[str, Any]] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "dock": 1, "at": 2}, "unk_token": "[UNK]"},
}


def write_small_bundle(
    folder: Path, *, calibrated: bool = False, speaks: bool = False
) -> PolicyBundle:
    """A policy that drives straight on; one that speaks has a tokenizer and an encoder."""
    contract = small_contract()
    graph = write_graph(folder.with_name("graph.onnx"), contract)
    extra: dict[str, Path] = {}
    if calibrated:
        extra[NOVELTY_FILE] = folder.with_name(NOVELTY_FILE)
        extra[NOVELTY_FILE].write_bytes(NoveltyModel((_group(),)).to_bytes())
    if speaks:
        tokenizer = folder.with_name(TOKENIZER_FILE)
        tokenizer.write_text(json.dumps(_TOKENIZER))
        extra |= {TOKENIZER_FILE: tokenizer, ENCODER_FILE: graph}
    fields = {
        "preset": "small",
        "datasets": [{"name": "small"}],
        "opset": 17,
        "parity_error": 1e-6,
        "evaluation": {"successes": 1},
        "variants": {"int8": {"kept": False, "reason": "slower"}},
        "confidence": {"limits": {"vision": 2.0, CHUNKS: 0.1}, "window_s": 0.5, "release": 0.9},
    }
    vocabulary = Vocabulary.from_sentences(SENTENCES)
    return write_bundle(folder, graph, contract, statistics_of(contract), vocabulary, fields, extra)


def _group() -> FeatureGroup:
    ones = np.ones(_FEATURES, np.float32)
    whitening = np.eye(_FEATURES, dtype=np.float32)
    return FeatureGroup("vision", np.arange(_FEATURES), 0 * ones, ones, whitening)


def _sealed(files: Files) -> Files:
    """The manifest says of every file what is true of it, so that its parser is reached."""
    try:
        manifest = json.loads(files[MANIFEST_FILE])
        manifest["files"] = {
            name: hashlib.sha256(data).hexdigest()
            for name, data in files.items()
            if name in manifest["files"]
        }
        contract = Contract.from_yaml(files.get(CONTRACT_FILE, b""))
        manifest["contract_hash"] = contract.hash
        return {**files, MANIFEST_FILE: json.dumps(manifest).encode()}
    except (ValueError, KeyError, TypeError, RecursionError, VlaError):
        return files


class Bundle(Subject):
    """All of a bundle but its graph."""

    suffix: ClassVar[str] = ".tar"
    format = Folder({".json": json_document(), ".yaml": yaml_document()}, _sealed)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self._contract = small_contract()
        self._folder = scratch / "policy"

    def seeds(self) -> list[bytes]:
        """One that knows words by number, one with a language model."""
        seeds = []
        for speaks in (False, True):
            folder = self.scratch / "seed"
            write_small_bundle(folder, calibrated=True, speaks=speaks)
            seeds.append(folder_bytes(folder))
            shutil.rmtree(folder)
        return seeds

    def consume(self, data: bytes) -> None:
        """What the policy node does before it loads the graph."""
        shutil.rmtree(self._folder, ignore_errors=True)
        folder = write_folder(data, self._folder)
        bundle = PolicyBundle.load(folder)
        for name, digest in bundle.manifest.files.items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
                raise AcceptedError(f"{name} has another SHA-256 than the manifest says")
        bundle.check_contract(self._contract)
        novelty = load_novelty(bundle)
        limits = ConfidenceLimits.of(bundle)
        monitor = ConfidenceMonitor(limits, bundle.contract.action)
        chunk = np.zeros((bundle.contract.action.chunk_length, 2), np.float32)
        for tick in range(4):
            distances = None if novelty is None else _distances(novelty)
            monitor.update(50_000_000 * tick, chunk, distances)
        encoder = load_sentence_encoder(bundle, lambda _: lambda feeds: np.ones((1, 8), np.float32))
        for sentence in SENTENCES:
            bundle.vocabulary.problems(sentence)
            if encoder is not None:
                encoder(sentence)


def _distances(novelty: NoveltyModel) -> np.ndarray:
    return novelty.distances(np.zeros((1, _FEATURES), np.float32))[0]


class Graph(Subject):
    """The graph of a bundle, whose checksum is right."""

    suffix: ClassVar[str] = ".onnx"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self._folder = scratch / "policy"
        bundle = write_small_bundle(self._folder)
        self._contract = bundle.contract
        self._files = {path.name: path.read_bytes() for path in self._folder.iterdir()}

    def seeds(self) -> list[bytes]:
        """The graph of the small bundle."""
        return [self._files[MODEL_FILE]]

    def consume(self, data: bytes) -> None:
        """Load it into ONNX Runtime and ask for a chunk."""
        files = _sealed({**self._files, MODEL_FILE: data})
        shutil.rmtree(self._folder, ignore_errors=True)
        runtime = OnnxRuntime(write_folder(pack(files), self._folder))
        chunk = runtime.infer(blank_frame(self._contract), SENTENCES[0])
        action = self._contract.action
        if chunk.shape != (action.chunk_length, action.size) or not np.isfinite(chunk).all():
            raise AcceptedError(f"a chunk of shape {chunk.shape}, or not finite")
        runtime.close()
