"""Which feature is which array: by name, or as the user says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vla_core import keys
from vla_core.contract import Contract
from vla_core.contract_specs import ImageDecoder
from vla_training.dataset.layout import ACTION, DOCK_POSE, RowSpec, observation, row_specs
from vla_training.errors import DatasetError
from vla_training.lerobot.layout import INDEX_FEATURES, Feature, feature_names

_SPLITS_AT = "="


def parse_pairs(texts: Iterable[str]) -> dict[str, str]:
    """Key by feature of texts FEATURE=KEY.

    Raises:
        DatasetError: If one is something else, or a feature or a key stands twice.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        feature, found, key = text.partition(_SPLITS_AT)
        if not (feature and found and key):
            raise DatasetError(
                f"--map {text}: expected FEATURE=KEY, such as observation.images.front=image"
            )
        if feature in pairs or key in pairs.values():
            raise DatasetError(f"--map {text}: feature or key stands twice")
        pairs[feature] = key
    return pairs


def chosen_arrays(contract: Contract, pairs: Mapping[str, str]) -> dict[str, str]:
    """Feature by array, of what the user has chosen.

    Args:
        contract: Has the keys.
        pairs: Key by feature, see `parse_pairs`.

    Raises:
        DatasetError: If a key is unknown.
    """
    arrays = {key: observation(key) for key in contract.keys}
    arrays.update({keys.ACTION: ACTION, keys.DOCK_POSE: DOCK_POSE})
    for feature, key in pairs.items():
        if key not in arrays:
            raise DatasetError(
                f"--map {feature}={key}: contract {contract.name!r} has no {key!r}; expected one "
                f"of {', '.join(arrays)}"
            )
    return {arrays[key]: feature for feature, key in pairs.items()}


def renamed(contract: Contract, pairs: Mapping[str, str]) -> dict[str, str]:
    """Feature by array for an export: the usual names but for those that the user has chosen.

    Raises:
        DatasetError: If a key is unknown, or a name is taken or not possible in LeRobot.
    """
    names = {**feature_names(contract), **chosen_arrays(contract, pairs)}
    taken = {feature.name: "LeRobot itself" for feature in INDEX_FEATURES}
    for array, name in names.items():
        if "/" in name or not name.isprintable():
            raise DatasetError(f"--map {name}=…: a name of a feature must not have {'/'!r} in it")
        if name in taken:
            raise DatasetError(
                f"feature {name!r} would hold both {array} and {taken[name]}; choose another name "
                "with --map FEATURE=KEY"
            )
        taken[name] = array
    return names


def found_features(
    features: Mapping[str, Feature],
    contract: Contract,
    pairs: Mapping[str, str],
    exported: Mapping[str, str],
    place: str,
) -> dict[str, Feature]:
    """Feature by array for an import; what is neither required nor there is left out.

    Args:
        features: All of the LeRobotDataset, by name.
        contract: What is wanted.
        pairs: Key by feature, as the user has chosen.
        exported: Array by feature, if the LeRobotDataset is an export of ours.
        place: Where the LeRobotDataset is, for errors.

    Raises:
        DatasetError: If a stream or the action has no feature, or one of another shape.
    """
    names = {
        **feature_names(contract),
        **{array: name for name, array in exported.items()},
    }
    chosen = chosen_arrays(contract, pairs)
    cameras = [feature.name for feature in features.values() if feature.is_picture]
    wanted = {observation(s.key): s.key for s in contract.streams} | {ACTION: keys.ACTION}
    images = [observation(s.key) for s in contract.streams if isinstance(s.decoder, ImageDecoder)]
    found = {}
    for spec in row_specs(contract):
        name = chosen.get(spec.name, names[spec.name])
        if name not in features and [spec.name] == images and len(cameras) == 1:
            name = cameras[0] if spec.name not in chosen else name
        if name in features:
            found[spec.name] = features[name]
            _check(spec, features[name], wanted.get(spec.name, ""), place)
        elif spec.name in wanted or spec.name in chosen:
            key = wanted.get(spec.name, keys.DOCK_POSE)
            raise DatasetError(
                f"{place} has no feature {name!r} for {key!r}, only "
                f"{', '.join(features)}; name one with --map FEATURE={key}, or give a contract "
                "without it"
            )
    return found


def _check(spec: RowSpec, feature: Feature, key: str, place: str) -> None:
    is_image = len(spec.shape) == 3
    expected = "a picture" if is_image else str(spec.shape or (1,))
    if feature.is_picture == is_image and (is_image or feature.shape == (spec.shape or (1,))):
        return
    names = f" ({', '.join(feature.names)})" if feature.names else ""
    remedy = f"name another one with --map FEATURE={key}, or " if key else ""
    raise DatasetError(
        f"{place}: feature {feature.name!r} is {feature.dtype} of shape {feature.shape}{names}, "
        f"{key or spec.name!r} expects {expected}; {remedy}give a contract that fits"
    )
