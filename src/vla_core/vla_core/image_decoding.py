"""Pixels of camera messages, raw and compressed, as RGB."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np

from vla_core.errors import DecodeError
from vla_core.opencv import cv2

MAX_PIXELS: Final = 1 << 26
"""Images that claim more than this are refused before any memory is taken for them."""

COMPRESSIONS: Final = ("JPEG", "PNG")


@dataclass(frozen=True)
class _Layout:
    """How a raw encoding lies in memory.

    Attributes:
        channels: bytes per pixel.
        conversion: OpenCV's code for the way to RGB; None for RGB itself.
        width_multiple: the width must be a multiple of this.
        least_side: fewest rows and columns.
    """

    channels: int
    conversion: int | None
    width_multiple: int = 1
    least_side: int = 1


_UYVY = _Layout(2, cv2.COLOR_YUV2RGB_UYVY, width_multiple=2)
_YUYV = _Layout(2, cv2.COLOR_YUV2RGB_YUY2, width_multiple=2)

# OpenCV names a mosaic by the second pixel of its second row, ROS by the first of its first.
_LAYOUTS: Final = {
    "rgb8": _Layout(3, None),
    "bgr8": _Layout(3, cv2.COLOR_BGR2RGB),
    "rgba8": _Layout(4, cv2.COLOR_RGBA2RGB),
    "bgra8": _Layout(4, cv2.COLOR_BGRA2RGB),
    "mono8": _Layout(1, cv2.COLOR_GRAY2RGB),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "bayer_rggb8": _Layout(1, cv2.COLOR_BayerBG2RGB, least_side=3),
    "bayer_bggr8": _Layout(1, cv2.COLOR_BayerRG2RGB, least_side=3),
    "bayer_gbrg8": _Layout(1, cv2.COLOR_BayerGR2RGB, least_side=3),
    "bayer_grbg8": _Layout(1, cv2.COLOR_BayerGB2RGB, least_side=3),
}

RAW_ENCODINGS: Final = tuple(_LAYOUTS)
"""Encodings of sensor_msgs/Image that `rgb_from_raw` takes."""

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE: Final = b"\xff\xd8\xff"
# Start-of-frame markers; those missing between them are tables, and C8 is an extension.
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def rgb_from_raw(encoding: str, height: int, width: int, step: int, data: np.ndarray) -> np.ndarray:
    """The pixels of a sensor_msgs/Image.

    Every supported encoding has samples of one byte, so the message's byte order has no say.

    Args:
        encoding: one of `RAW_ENCODINGS` (sensor_msgs/image_encodings.hpp).
        height: rows.
        width: columns.
        step: bytes from one row to the next.
        data: (height * step,) uint8.

    Returns:
        (height, width, 3) uint8 RGB. For rgb8 a view into `data`, whose rows lie `step` bytes
        apart; otherwise an array of its own. YUV is taken as ITU-R BT.601 of limited range, and
        mosaics are interpolated bilinearly.

    Raises:
        DecodeError: if the encoding is another one or the sizes contradict each other.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise DecodeError(
            f"encoding {encoding!r} is not supported, only {', '.join(_LAYOUTS)}"
            + _remedy(str(encoding))
        )
    if height < layout.least_side or width < layout.least_side:
        least = layout.least_side
        raise DecodeError(
            f"image of {width} x {height} pixels, expected at least {least} x {least} of {encoding}"
        )
    if width % layout.width_multiple:
        raise DecodeError(
            f"image of {width} x {height} pixels, expected an even width of {encoding}"
        )
    row_bytes = width * layout.channels
    if step < row_bytes:
        raise DecodeError(
            f"step of {step} bytes, expected at least {row_bytes} for {width} pixels of {encoding}"
        )
    if data.size != height * step:
        raise DecodeError(
            f"{data.size} bytes of image data, expected {height * step} for {height} rows of "
            f"{step} bytes"
        )
    rows = data.reshape(height, step)[:, :row_bytes]
    if layout.channels > 1:
        rows = rows.reshape(height, width, layout.channels)
    return rows if layout.conversion is None else cv2.cvtColor(rows, layout.conversion)


def _remedy(encoding: str) -> str:
    if encoding.startswith(("8UC", "8SC")):
        return "; it does not say what its channels are: name them in the camera's driver"
    if "16" in encoding or "32" in encoding or "64" in encoding:
        return (
            "; how it maps to 8 bits is the camera's secret: let its driver publish an 8-bit image"
        )
    return ""


def rgb_from_compressed(image_format: str, file: bytes | memoryview | np.ndarray) -> np.ndarray:
    """The pixels of a sensor_msgs/CompressedImage.

    What the file is, its own first bytes decide; an orientation noted in it is ignored, as the
    camera's calibration ignores it. Checksums and the end of the file are checked first, since the
    decoders fill up with grey what is missing.

    Args:
        image_format: as the message says, for the error.
        file: a JPEG or PNG image of 8 bits per channel.

    Returns:
        (H, W, 3) uint8 RGB, an array of its own.

    Raises:
        DecodeError: if it is something else, is damaged, or has more than `MAX_PIXELS`.
    """
    stored = np.frombuffer(file, np.uint8)
    data = stored.data
    if data[: len(_PNG_SIGNATURE)] == _PNG_SIGNATURE:
        kind, (width, height) = "PNG", _check_png(data)
    elif data[: len(_JPEG_SIGNATURE)] == _JPEG_SIGNATURE:
        kind, (width, height) = "JPEG", _check_jpeg(data)
    else:
        raise DecodeError(
            f"image compressed as {image_format!r} is not supported, only "
            f"{' and '.join(COMPRESSIONS)} of colour or grey images"
        )
    try:
        pixels = cv2.imdecode(stored, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise DecodeError(f"{kind} image cannot be decoded: {error}") from error
    if pixels is None or pixels.shape != (height, width, 3):
        raise DecodeError(f"{kind} image of {width} x {height} pixels cannot be decoded: damaged")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)


def _check_size(kind: str, width: int, height: int, bits: int) -> None:
    if bits > 8:
        raise DecodeError(
            f"{kind} image of {bits} bits per channel, expected 8: let the camera's driver publish "
            "an 8-bit image"
        )
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise DecodeError(
            f"{kind} image claims {width} x {height} pixels, expected 1 to {MAX_PIXELS}"
        )


def _check_png(data: memoryview) -> tuple[int, int]:
    """Walk over the chunks of a PNG file (ISO/IEC 15948): width and height."""
    position, size = len(_PNG_SIGNATURE), (0, 0)
    while True:
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 8 + length
        if end + 4 > len(data):
            raise DecodeError(f"PNG image ends after {len(data)} bytes, before its end")
        kind, body = bytes(data[position + 4 : position + 8]), data[position + 8 : end]
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise DecodeError(f"PNG image is damaged: checksum of {kind!r} at byte {position}")
        if (kind == b"IHDR") != (position == len(_PNG_SIGNATURE)) or (
            kind == b"IHDR" and length != 13
        ):
            raise DecodeError(f"PNG image is damaged: {kind!r} at byte {position}")
        if kind == b"IHDR":
            size = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
            _check_size("PNG", *size, bits=body[8])
        elif kind == b"acTL":
            raise DecodeError("PNG image is animated, expected a single image")
        elif kind == b"IEND":
            return size
        position = end + 4


def _check_jpeg(data: memoryview) -> tuple[int, int]:
    """Walk over the segments of a JPEG file (ITU-T T.81, annex B): width and height."""
    # Cameras of the USB video class fill up their buffers with zeros.
    tail = bytes(data[-64:]).rstrip(b"\0") or bytes(data).rstrip(b"\0")
    if not tail.endswith(b"\xff\xd9"):
        raise DecodeError(f"JPEG image of {len(data)} bytes has no end: it is cut off or damaged")
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in _JPEG_FRAMES:
            if position + 9 > len(data):
                break
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            width = int.from_bytes(data[position + 7 : position + 9], "big")
            _check_size("JPEG", width, height, bits=data[position + 4])
            return width, height
        if length < 2 or marker in (0xD8, 0xD9, 0xDA):
            break
        position += 2 + length
    raise DecodeError(f"JPEG image is damaged: no frame header up to byte {position}")
