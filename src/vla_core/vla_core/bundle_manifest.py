"""The manifest of a policy bundle: where a policy comes from and how good it was found to be."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vla_core.errors import BundleError

FORMAT_VERSION: Final = 1

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class BundleManifest:
    """What is known about a policy.

    Attributes:
        format_version: of the bundle.
        created: date and time, ISO 8601 with time zone.
        contract_hash: `Contract.hash` of the contract that the policy was trained for.
        preset: name of the model preset.
        datasets: what it was trained on, one entry per data set (a name, or a mapping with name,
            episodes, hash and so on).
        git_revision: of the source that trained it.
        opset: ONNX operator set.
        parity_error: largest difference between PyTorch's and ONNX Runtime's output [m/s, rad/s].
        evaluation: figures, as `vla evaluate` writes them.
        files: SHA-256 (hex) of every file of the bundle but the manifest, by name.
        variants: smaller or faster forms of the graph that were tried, by name: `kept`, whether
            the bundle holds it; `file`, its name if so; `reason`, and what was measured.
        confidence: how the features of its graph are laid out, and what calibration found: limits,
            rates of misses and false alarms. Empty without features; see `vla_core.confidence`.
        extra: whatever else its author noted.
    """

    format_version: int
    created: str
    contract_hash: str
    files: dict[str, str]
    preset: str = ""
    datasets: tuple[Any, ...] = ()
    git_revision: str = ""
    opset: int | None = None
    parity_error: float | None = None
    evaluation: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    confidence: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The manifest as JSON text.

        Raises:
            BundleError: if a field holds something that JSON cannot say (NaN, an array).
        """
        try:
            return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise BundleError(
                f"bundle manifest: {error}; give plain numbers, texts, lists and mappings"
            ) from error

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> BundleManifest:
        """Read what `to_json` wrote.

        Args:
            text: JSON.
            source: what to call the bundle in an error.

        Raises:
            BundleError: if it is of another format version or not well-formed.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{source}: manifest.json is no JSON ({error})") from error
        if not isinstance(values, dict):
            raise BundleError(f"{source}: manifest.json holds no mapping")
        version = values.get("format_version")
        if version != FORMAT_VERSION or isinstance(version, bool):
            raise BundleError(
                f"{source}: format version {version!r}, this software reads {FORMAT_VERSION}; "
                "export the policy again"
            )
        problem = _problem(values)
        if problem:
            raise BundleError(f"{source}: manifest.json: {problem}")
        values["datasets"] = tuple(values.get("datasets", ()))
        return cls(**values)


def is_plain_name(name: Any) -> bool:
    """Whether a text is the name of a file in the bundle itself: no folder, nothing hidden."""
    return isinstance(name, str) and _PLAIN_NAME.fullmatch(name) is not None


def fields_from(values: Mapping[str, Any]) -> dict[str, Any]:
    """Sort an author's notes into fields of the manifest; unknown ones become `extra`.

    Raises:
        BundleError: if a field is set that only the writer of a bundle may set, or has a wrong
            type.
    """
    reserved = {"format_version", "contract_hash", "files"}
    if reserved & set(values):
        names = ", ".join(sorted(reserved & set(values)))
        raise BundleError(f"bundle manifest: {names} cannot be set, writing the bundle sets it")
    known = {item.name for item in dataclasses.fields(BundleManifest)}
    fields = {name: value for name, value in values.items() if name in known}
    extra = {name: value for name, value in values.items() if name not in known}
    if extra:
        fields["extra"] = {**fields.get("extra", {}), **extra}
    if "datasets" in fields and not isinstance(fields["datasets"], str):
        fields["datasets"] = list(fields["datasets"])
    problem = _problem({"created": "", "contract_hash": "0" * 64, "files": {}, **fields})
    if problem:
        raise BundleError(f"bundle manifest: {problem}")
    return fields


def _problem(values: Mapping[str, Any]) -> str | None:
    """What is wrong with the values of a manifest, or None."""
    known = {item.name for item in dataclasses.fields(BundleManifest)}
    unknown = sorted(set(values) - known)
    if unknown:
        return f"unknown field {unknown[0]!r}"
    for name in ("created", "contract_hash", "files"):
        if name not in values:
            return f"{name} is missing"
    for name in ("created", "contract_hash", "preset", "git_revision"):
        if not isinstance(values.get(name, ""), str):
            return f"{name} is no text"
    for name in ("evaluation", "variants", "confidence", "extra", "files"):
        if not isinstance(values.get(name, {}), dict):
            return f"{name} is no mapping"
    if not isinstance(values.get("datasets", []), (list, tuple)):
        return "datasets is no list"
    opset, parity = values.get("opset"), values.get("parity_error")
    if opset is not None and (isinstance(opset, bool) or not isinstance(opset, int)):
        return f"opset is {opset!r}, expected a whole number"
    if parity is not None and not (isinstance(parity, (int, float)) and math.isfinite(parity)):
        return f"parity_error is {parity!r}, expected a finite number"
    if not _SHA256.fullmatch(values["contract_hash"]):
        return "contract_hash is no SHA-256"
    for name, digest in values["files"].items():
        if not is_plain_name(name) or name == "manifest.json":
            return f"file name {name!r}, expected a plain name without a folder"
        if not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
            return f"file {name!r} has no SHA-256"
    for name, variant in values.get("variants", {}).items():
        if not isinstance(variant, dict) or not isinstance(variant.get("kept"), bool):
            return f"variant {name!r} does not say whether it was kept"
        if variant["kept"] and not is_plain_name(variant.get("file")):
            return f"variant {name!r} was kept and names no file"
    return None
