"""What is taken away, or changed, one thing at a time: data, training or execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vla_training.benchmarks.ablation_data import (
    CLEAN,
    DEMONSTRATIONS,
    ONE_SENTENCE,
    PLAIN,
    RANDOMIZED,
    VISITED,
    demonstrations_of,
)
from vla_training.errors import BenchmarkError

REFERENCE: Final = "reference"
SCALING: Final = "demonstrations_"
SIZES: Final = (25, 50, 100, 200, 400, 800)
"""Numbers of demonstrations from which policies are trained."""

SENTENCE: Final = "dock"
"""What a policy without language is always told."""

_NO_AUGMENTATION: Final = (
    "augmentation.mirror=0",
    "augmentation.paraphrase=0",
    *(
        f"augmentation.light.{name}_probability=0"
        for name in (
            "brightness",
            "contrast",
            "white_balance",
            "saturation",
            "hue",
            "gamma",
            "noise",
        )
    ),
    *(f"augmentation.image.{name}_probability=0" for name in ("shift", "blur", "crop", "cutout")),
    *(f"augmentation.scan.{name}_probability=0" for name in ("noise", "beam_dropout")),
    *(f"augmentation.dropout.{name}=0" for name in ("image", "scan", "odometry")),
)


@dataclass(frozen=True)
class Variant:
    """A policy that differs from the reference in one thing.

    Attributes:
        name: Of its folder.
        says: What is different, for the table.
        data: Name of a data set in `ablation_data`.
        overrides: Of the training.
        options: Of the evaluation.
        trained: Whether it is trained; otherwise the reference's policies run with `options`.
        pretrained: Whether its vision begins with what frames without labels taught.
    """

    name: str
    says: str
    data: str = DEMONSTRATIONS
    overrides: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    trained: bool = True
    pretrained: bool = False


_ONE_BY_ONE: Final = (
    Variant(REFERENCE, "nothing: all of it"),
    Variant(
        "no_chunking",
        "without chunks: one action is predicted, on every tick",
        overrides=("model.head.horizon=1",),
        options={"replan_steps": 1},
    ),
    Variant(
        "ensembling",
        "with temporal ensembling of the chunks, same policies",
        options={"mode": "temporal_ensemble"},
        trained=False,
    ),
    Variant(
        "no_language",
        "without language: always the same sentence",
        data=ONE_SENTENCE,
        overrides=(
            "augmentation.paraphrase=0",
            # Nothing says which station it is.
            "loss.grounding.pointing=0",
            "loss.grounding.contrast=0",
        ),
        options={"sentence": SENTENCE},
    ),
    Variant(
        "no_lidar",
        "without the scan",
        overrides=("augmentation.dropout.scan=1",),
        options={"always": "no_scan"},
    ),
    Variant(
        "no_odometry",
        "without odometry",
        overrides=("augmentation.dropout.odometry=1",),
        options={"always": "no_odometry"},
    ),
    Variant("no_augmentation", "without augmentation", overrides=_NO_AUGMENTATION),
    Variant("clean", "demonstrations without injected noise", data=CLEAN),
    Variant("dagger", "with one round of DAgger: states that the reference visits", data=VISITED),
    Variant("plain", "demonstrations without domain randomisation", data=PLAIN),
    Variant("randomized", "demonstrations with wider randomisation", data=RANDOMIZED),
    Variant("pretraining", "vision pre-trained on the frames without labels", pretrained=True),
)


def all_variants(reference: int, sizes: Sequence[int] = SIZES) -> dict[str, Variant]:
    """Every variant by name, the reference first.

    Args:
        reference: Demonstrations that the reference is trained from; of this size there is no
            further variant.
        sizes: Numbers of demonstrations.
    """
    scaling = (
        Variant(f"{SCALING}{size}", f"{size} demonstrations", data=demonstrations_of(size))
        for size in sizes
        if size != reference
    )
    return {variant.name: variant for variant in (*_ONE_BY_ONE, *scaling)}


def choose(variants: Mapping[str, Variant], only: Sequence[str] | None) -> list[Variant]:
    """Some variants, and the reference that they are compared with.

    Raises:
        BenchmarkError: If a name is unknown.
    """
    if only is None:
        return list(variants.values())
    unknown = [name for name in only if name not in variants]
    if unknown:
        raise BenchmarkError(
            f"--only {', '.join(unknown)} is unknown; choose of {', '.join(variants)}"
        )
    return [each for name, each in variants.items() if name == REFERENCE or name in only]
