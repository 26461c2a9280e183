"""From the mapping of a contract file to its parts, with every mistake noted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vla_core import keys
from vla_core.contract_specs import (
    ACTION_TYPES,
    DURABILITIES,
    IMAGE_TYPES,
    NORMALIZATIONS,
    RELIABILITIES,
    SCAN_TYPE,
    STREAM_TYPES,
    TWIST_FIELDS,
    ActionSpec,
    Decoder,
    ImageDecoder,
    OdometryDecoder,
    QosSpec,
    ScanDecoder,
    StreamSpec,
)
from vla_core.strict_yaml import Section, describe

_MIN_RATE_HZ, _MAX_RATE_HZ = 0.01, 1000.0
_MIN_AGE_S, _MAX_AGE_S = 0.001, 3600.0
_MAX_SIDE = 4096
_MAX_RANGE_M = 1000.0
_MAX_LIMIT = 100.0
_CROP_SIDES = ("top", "bottom", "left", "right")


def parse_streams(root: Section, mistakes: list[str]) -> tuple[StreamSpec, ...]:
    """The `streams` part, with keys and topics unique."""
    sections = [
        Section(entry, f"streams[{index}]", mistakes)
        for index, entry in enumerate(root.items("streams"))
    ]
    streams = tuple(_parse_stream(section) for section in sections if section.is_mapping)
    _check_unique(root, "streams", [f"key {stream.key}" for stream in streams if stream.key])
    topics = [stream.topic.lstrip("/") for stream in streams if stream.topic]
    _check_unique(root, "streams", [f"topic {topic}" for topic in topics])
    return streams


def _parse_stream(section: Section) -> StreamSpec:
    key = section.text("key")
    if key and not (key.isascii() and key.isidentifier() and key == key.lower()):
        section.mistake("key", f"got {describe(key)}, expected a snake_case name such as image")
    if key in keys.RESERVED:
        section.mistake("key", f"got {describe(key)}, which has a fixed meaning; choose another")
    message_type = section.choice("type", STREAM_TYPES)
    stream = StreamSpec(
        key=key,
        topic=section.ros_name("topic") or "",
        type=message_type,
        qos=_parse_qos(section),
        unit=section.text("unit"),
        rate_hz=section.number("rate_hz", _MIN_RATE_HZ, _MAX_RATE_HZ),
        max_age_s=section.number("max_age_s", _MIN_AGE_S, _MAX_AGE_S),
        decoder=_parse_decoder(section, message_type),
        normalization=section.choice("normalization", NORMALIZATIONS, "mean_std"),
    )
    section.finish()
    return stream


def _parse_qos(stream: Section) -> QosSpec:
    section = stream.section("qos", required=False)
    if section is None:
        return QosSpec()
    default = QosSpec()
    qos = QosSpec(
        reliability=section.choice("reliability", RELIABILITIES, default.reliability),
        durability=section.choice("durability", DURABILITIES, default.durability),
        depth=section.integer("depth", 1, 1000, default.depth),
    )
    section.finish()
    return qos


def _parse_decoder(stream: Section, message_type: str) -> Decoder:
    section = stream.section("decoder")
    if section is None or not message_type:
        return OdometryDecoder()  # stands in: the mistake is noted already
    decoder: Decoder
    if message_type in IMAGE_TYPES:
        decoder = ImageDecoder(
            height=section.integer("height_px", 1, _MAX_SIDE),
            width=section.integer("width_px", 1, _MAX_SIDE),
            crop=_parse_crop(section),
        )
    elif message_type == SCAN_TYPE:
        decoder = ScanDecoder(
            beams=section.integer("beams", 1, _MAX_SIDE),
            angle_min_rad=section.number("angle_min_rad", -math.tau, math.tau),
            angle_max_rad=section.number("angle_max_rad", -math.tau, math.tau),
            range_min_m=section.number("range_min_m", 0.0, _MAX_RANGE_M),
            range_max_m=section.number("range_max_m", 0.0, _MAX_RANGE_M, above_low=True),
        )
        _check_order(section, "angle_min_rad", decoder.angle_min_rad, decoder.angle_max_rad)
        _check_order(section, "range_min_m", decoder.range_min_m, decoder.range_max_m)
        span = decoder.angle_max_rad - decoder.angle_min_rad
        if span > math.tau * (1.0 + 1e-9):
            section.mistake("angle_max_rad", f"spans {span:g} rad, expected at most a full turn")
    else:
        decoder = OdometryDecoder(fields=_parse_field_names(section))
    section.finish()
    return decoder


def _parse_crop(decoder: Section) -> tuple[float, float, float, float]:
    section = decoder.section("crop_fraction", required=False)
    if section is None:
        return 0.0, 0.0, 0.0, 0.0
    top, bottom, left, right = (section.number(side, 0.0, 1.0, default=0.0) for side in _CROP_SIDES)
    for first, second, total in (("top", "bottom", top + bottom), ("left", "right", left + right)):
        if total >= 1.0:
            section.mistake(first, f"{first} and {second} add up to {total:g}, expected below 1")
    section.finish()
    return top, bottom, left, right


def _parse_field_names(section: Section) -> tuple[str, ...]:
    names = section.items("fields")
    for name in names:
        if not isinstance(name, str) or name not in TWIST_FIELDS:
            section.mistake(
                "fields", f"got {describe(name)}, expected one of {', '.join(TWIST_FIELDS)}"
            )
    known = [name for name in names if isinstance(name, str)]
    _check_unique(section, "fields", known)
    return tuple(known)


def _check_order(section: Section, low_key: str, low: float, high: float) -> None:
    if low >= high:
        high_key = low_key.replace("min", "max") if "min" in low_key else "high"
        section.mistake(low_key, f"is {low:g}, expected below {high_key}, which is {high:g}")


def _check_unique(section: Section, key: str, values: list[str]) -> None:
    for value in sorted({value for value in values if values.count(value) > 1}):
        section.mistake(key, f"{describe(value)} is there {values.count(value)} times, not once")


def parse_action(section: Section, mistakes: list[str]) -> ActionSpec:
    """The `action` part."""
    rows = []
    for index, entry in enumerate(section.items("fields")):
        row = Section(entry, f"{section.where}.fields[{index}]", mistakes)
        if row.is_mapping:
            rows.append(_parse_action_field(row))
    _check_unique(section, "fields", [name for name, *_ in rows if name])
    columns = list(zip(*rows, strict=True)) or [()] * 5
    action = ActionSpec(
        topic=section.ros_name("topic") or "",
        type=section.choice("type", ACTION_TYPES),
        label_topic=section.ros_name("label_topic", optional=True),
        fields=columns[0],
        low=columns[1],
        high=columns[2],
        max_acceleration=columns[3],
        deadband=columns[4],
        rate_hz=section.number("rate_hz", _MIN_RATE_HZ, _MAX_RATE_HZ),
        chunk_length=section.integer("chunk_length", 1, 1000),
        normalization=section.choice("normalization", NORMALIZATIONS, "mean_std"),
    )
    section.finish()
    return action


def _parse_action_field(row: Section) -> tuple[str, float, float, float, float]:
    name = row.choice("field", tuple(TWIST_FIELDS))
    unit = row.text("unit")
    if name and unit and unit != TWIST_FIELDS[name]:
        row.mistake("unit", f"got {describe(unit)}, expected {TWIST_FIELDS[name]}")
    low = row.number("low", -_MAX_LIMIT, 0.0)
    high = row.number("high", 0.0, _MAX_LIMIT)
    _check_order(row, "low", low, high)
    max_acceleration = row.number("max_acceleration", 0.0, _MAX_LIMIT, above_low=True)
    deadband = row.number("deadband", 0.0, _MAX_LIMIT, default=0.0)
    row.finish()
    return name, low, high, max_acceleration, deadband


def stream_to_dict(stream: StreamSpec) -> dict[str, Any]:
    """The mapping that `parse_streams` reads."""
    return {
        "key": stream.key,
        "topic": stream.topic,
        "type": stream.type,
        "qos": {
            "reliability": stream.qos.reliability,
            "durability": stream.qos.durability,
            "depth": stream.qos.depth,
        },
        "unit": stream.unit,
        "rate_hz": stream.rate_hz,
        "max_age_s": stream.max_age_s,
        "decoder": _decoder_to_dict(stream.decoder),
        "normalization": stream.normalization,
    }


def _decoder_to_dict(decoder: Decoder) -> dict[str, Any]:
    if isinstance(decoder, ImageDecoder):
        return {
            "height_px": decoder.height,
            "width_px": decoder.width,
            "crop_fraction": dict(zip(_CROP_SIDES, decoder.crop, strict=True)),
        }
    if isinstance(decoder, ScanDecoder):
        return {
            "beams": decoder.beams,
            "angle_min_rad": decoder.angle_min_rad,
            "angle_max_rad": decoder.angle_max_rad,
            "range_min_m": decoder.range_min_m,
            "range_max_m": decoder.range_max_m,
        }
    return {"fields": list(decoder.fields)}


def action_to_dict(action: ActionSpec) -> Mapping[str, Any]:
    """The mapping that `parse_action` reads."""
    return {
        "topic": action.topic,
        "type": action.type,
        "label_topic": action.label_topic,
        "rate_hz": action.rate_hz,
        "chunk_length": action.chunk_length,
        "normalization": action.normalization,
        "fields": [
            {
                "field": action.fields[i],
                "unit": action.units[i],
                "low": action.low[i],
                "high": action.high[i],
                "max_acceleration": action.max_acceleration[i],
                "deadband": action.deadband[i],
            }
            for i in range(action.size)
        ],
    }
