"""The policy bundle: one folder with everything that is needed to run a policy, and its proof.

    policy.onnx      the graph, SI units in and out
    contract.yaml    what it was trained for
    stats.json       normalisation, for people and for training on: the graph has its own copy
    vocabulary.json  the words it knows
    policy_*.onnx    faster variants of the graph, if any were worth keeping
    sentence_encoder.onnx, tokenizer.json   the language model, of policies that have one
    novelty.npz      what training frames look like to it, of policies that were calibrated
    manifest.json    where it comes from, and SHA-256 of all of the above

Nothing in it is ever unpickled or executed but the graph.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from vla_core.bundle_manifest import (
    FORMAT_VERSION,
    BundleManifest,
    fields_from,
    is_plain_name,
)
from vla_core.chunk_policy import ChunkPolicy
from vla_core.contract import Contract
from vla_core.errors import BundleError, ContractError, StatisticsError, VocabularyError
from vla_core.language import Vocabulary
from vla_core.normalization import Statistics

__all__ = [
    "CONTRACT_FILE",
    "ENCODER_FILE",
    "MANIFEST_FILE",
    "MODEL_FILE",
    "STATISTICS_FILE",
    "TOKENIZER_FILE",
    "VOCABULARY_FILE",
    "BundleManifest",
    "ChunkPolicy",
    "PolicyBundle",
    "write_bundle",
]

MODEL_FILE: Final = "policy.onnx"
CONTRACT_FILE: Final = "contract.yaml"
STATISTICS_FILE: Final = "stats.json"
VOCABULARY_FILE: Final = "vocabulary.json"
ENCODER_FILE: Final = "sentence_encoder.onnx"
TOKENIZER_FILE: Final = "tokenizer.json"
MANIFEST_FILE: Final = "manifest.json"
_REQUIRED: Final = (MODEL_FILE, CONTRACT_FILE, STATISTICS_FILE, VOCABULARY_FILE)


@dataclass(frozen=True)
class PolicyBundle:
    """A policy as it was exported.

    Attributes:
        path: the folder.
        contract: what the policy was trained for.
        statistics: of its training data.
        vocabulary: the words it knows.
        manifest: where it comes from.
        model_path: the ONNX file.
        variant: name of the graph's variant; empty for the exact one.
    """

    path: Path
    contract: Contract
    statistics: Statistics
    vocabulary: Vocabulary
    manifest: BundleManifest
    model_path: Path
    variant: str = ""

    @property
    def encoder_path(self) -> Path | None:
        """The language model's graph; None for a policy that knows words by number."""
        return self.path / ENCODER_FILE if ENCODER_FILE in self.manifest.files else None

    @property
    def tokenizer_path(self) -> Path | None:
        """The language model's tokenizer, if there is one."""
        return self.path / TOKENIZER_FILE if TOKENIZER_FILE in self.manifest.files else None

    @classmethod
    def load(cls, path: str | Path, verify: bool = True, variant: str = "") -> PolicyBundle:
        """Read a bundle.

        Args:
            path: its folder.
            verify: whether to compare the SHA-256 of every file with the manifest.
            variant: which of the manifest's variants to run; empty for the exact graph.

        Raises:
            BundleError: if the folder or a file is missing, damaged, changed or of another format
                version, or the bundle does not hold the variant.
        """
        path = Path(path)
        source = f"policy bundle {path}"
        if not path.is_dir():
            state = "is no folder" if path.exists() else "does not exist"
            raise BundleError(f"{source}: {state}; give the folder that `vla export` wrote")
        manifest = BundleManifest.from_json(_read(path, MANIFEST_FILE, source), source)
        language = (ENCODER_FILE, TOKENIZER_FILE)
        wanted = _REQUIRED + (language if set(language) & set(manifest.files) else ())
        for name in wanted:
            if name not in manifest.files:
                raise BundleError(f"{source}: manifest.json does not list {name}")
        model_file = _model_file(manifest, variant, source)
        contents: dict[str, bytes] = {}
        for name, digest in manifest.files.items():
            if not verify and name not in _REQUIRED:
                continue
            # What is parsed below are the very bytes that were verified here.
            contents[name] = _read(path, name, source)
            if verify and hashlib.sha256(contents[name]).hexdigest() != digest:
                raise BundleError(
                    f"{source}: {name} is damaged or was changed (its SHA-256 is not the one in "
                    "manifest.json); export or copy the bundle again"
                )
        try:
            contract = Contract.from_yaml(contents[CONTRACT_FILE], source=CONTRACT_FILE)
            statistics = Statistics.from_json(contents[STATISTICS_FILE])
            vocabulary = Vocabulary.from_json(contents[VOCABULARY_FILE])
        except (ContractError, StatisticsError, VocabularyError) as error:
            raise BundleError(f"{source}: {error}") from error
        if contract.hash != manifest.contract_hash:
            raise BundleError(
                f"{source}: hash of {CONTRACT_FILE} is {contract.hash[:12]}, manifest.json says "
                f"{manifest.contract_hash[:12]}; export the policy again"
            )
        return cls(path, contract, statistics, vocabulary, manifest, path / model_file, variant)

    def check_contract(self, live: Contract) -> None:
        """Make sure that the policy fits a robot.

        Args:
            live: contract of the robot.

        Raises:
            BundleError: naming each difference with both sides.
        """
        differences = self.contract.differences(live, "in the bundle", "live")
        if differences:
            raise BundleError(
                f"policy bundle {self.path}: made for contract {self.contract.name!r}, which does "
                f"not fit the live contract {live.name!r}: {'; '.join(differences)}; give the "
                "contract of the bundle, or a policy trained for this robot"
            )


def _model_file(manifest: BundleManifest, variant: str, source: str) -> str:
    if not variant:
        return MODEL_FILE
    kept = {name: v["file"] for name, v in manifest.variants.items() if v["kept"]}
    if kept.get(variant) not in manifest.files:
        tried = manifest.variants.get(variant, {}).get("reason")
        reason = f" ({tried})" if tried else ""
        raise BundleError(
            f"{source}: holds no variant {variant!r}{reason}, only "
            f"{', '.join(sorted(kept)) or 'the exact graph'}; leave the variant empty, or export "
            "with it"
        )
    return kept[variant]


def _read(folder: Path, name: str, source: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"{source}: {name} is missing; export or copy it again") from error
    except OSError as error:
        raise BundleError(f"{source}: {name} cannot be read ({error.strerror})") from error


def write_bundle(
    out_dir: str | Path,
    onnx_path: str | Path,
    contract: Contract,
    statistics: Statistics,
    vocabulary: Vocabulary,
    manifest_fields: Mapping[str, Any] | None = None,
    extra_files: Mapping[str, str | Path] | None = None,
) -> PolicyBundle:
    """Write a bundle: either all of it is there afterwards, or what was there before.

    Args:
        out_dir: folder to make. A bundle that is there is replaced; a folder that holds anything
            else is left alone.
        onnx_path: the graph, self-contained (no external data files).
        contract: what the policy was trained for.
        statistics: of its training data.
        vocabulary: the words it knows.
        manifest_fields: fields of `BundleManifest` such as preset, datasets, git_revision, opset,
            parity_error and evaluation; any other key ends up in `extra`.
        extra_files: further files by their name in the bundle, such as the policy's card.

    Returns:
        The bundle as it was read back from the disk.

    Raises:
        BundleError: if `out_dir` is in use for something else, a file cannot be read or written,
            or a field cannot be said in JSON.
    """
    fields = fields_from(manifest_fields or {})
    target = Path(out_dir).resolve()
    if target.exists() and not _replaceable(target):
        raise BundleError(
            f"{out_dir}: exists and is no policy bundle; give another folder or remove it"
        )
    sources = {MODEL_FILE: onnx_path, **(extra_files or {})}
    for name in sources:
        if not is_plain_name(name) or (name in (*_REQUIRED, MANIFEST_FILE) and name != MODEL_FILE):
            raise BundleError(f"bundle file {name!r}: expected a plain name that is not taken")
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        contents = {name: Path(source).read_bytes() for name, source in sources.items()}
        contents[CONTRACT_FILE] = contract.to_yaml().encode()
        contents[STATISTICS_FILE] = statistics.to_json().encode()
        contents[VOCABULARY_FILE] = vocabulary.to_json().encode()
        fields.setdefault("created", datetime.now(timezone.utc).isoformat(timespec="seconds"))
        manifest = BundleManifest(
            format_version=FORMAT_VERSION,
            contract_hash=contract.hash,
            files={name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
            **fields,
        )
        contents[MANIFEST_FILE] = manifest.to_json().encode()
        staging.mkdir(parents=True)
        for name, data in contents.items():
            _write_through(staging / name, data)
        PolicyBundle.load(staging)
        _move_into_place(staging, target)
    except OSError as error:
        raise BundleError(f"policy bundle {out_dir}: cannot be written ({error})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return PolicyBundle.load(out_dir)


def _replaceable(target: Path) -> bool:
    return target.is_dir() and ((target / MANIFEST_FILE).is_file() or not any(target.iterdir()))


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _move_into_place(staging: Path, target: Path) -> None:
    if not target.exists():
        staging.rename(target)
        return
    former = target.with_name(f".{target.name}.{uuid.uuid4().hex}.former")
    target.rename(former)
    try:
        staging.rename(target)
    except OSError:
        former.rename(target)
        raise
    shutil.rmtree(former, ignore_errors=True)
