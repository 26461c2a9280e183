import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_core.errors import DecodeError
from vla_core.image_decoding import MAX_PIXELS, rgb_from_compressed, rgb_from_raw
from vla_core.opencv import cv2

RNG = np.random.default_rng(0)
SMOOTH = cv2.resize(RNG.integers(0, 256, (5, 6, 3), np.uint8), (48, 36))


def raw(encoding, pixels, padding=0):
    height, width = pixels.shape[:2]
    rows = np.full((height, pixels.reshape(height, -1).shape[1] + padding), 99, np.uint8)
    rows[:, : rows.shape[1] - padding] = pixels.reshape(height, -1)
    return rgb_from_raw(encoding, height, width, rows.shape[1], rows.reshape(-1))


# Raw


def mosaic(rgb, pattern):
    """What a sensor behind a colour filter of this pattern (row by row) sees."""
    seen = np.empty(rgb.shape[:2], np.uint8)
    for place, colour in enumerate(pattern):
        row, column = divmod(place, 2)
        seen[row::2, column::2] = rgb[row::2, column::2, "rgb".index(colour)]
    return seen


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("padding", [0, 3])
def test_mosaics_are_interpolated_to_the_colours_they_were_made_of(pattern, padding):
    result = raw(f"bayer_{pattern}8", mosaic(SMOOTH, pattern), padding)
    difference = np.abs(result.astype(int) - SMOOTH)[2:-2, 2:-2]
    assert difference.mean() < 4.0


COLOURS = {  # RGB, and Y, U, V by ITU-R BT.601 with limited range
    "white": ((255, 255, 255), (235, 128, 128)),
    "black": ((0, 0, 0), (16, 128, 128)),
    "red": ((255, 0, 0), (81, 90, 240)),
    "green": ((0, 255, 0), (145, 54, 34)),
    "blue": ((0, 0, 255), (41, 240, 110)),
}


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("name", COLOURS)
@pytest.mark.parametrize(
    ("encoding", "order"),
    [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")],
)
def test_yuv_colours(encoding, order, name, padding):
    rgb, yuv = COLOURS[name]
    two_pixels = [yuv["yuv".index(letter)] for letter in order]
    pixels = np.tile(np.array(two_pixels, np.uint8).reshape(1, 2, 2), (3, 2, 1))
    result = raw(encoding, pixels, padding)
    assert result.shape == (3, 4, 3)
    assert np.abs(result.astype(int) - np.array(rgb)).max() <= 3


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("mono16", "how it maps to 8 bits is the camera's secret"),
        ("16UC1", "let its driver publish an 8-bit image"),
        ("32FC1", "let its driver publish an 8-bit image"),
        ("8UC3", "it does not say what its channels are"),
        ("nv21", "encoding 'nv21' is not supported, only rgb8"),
    ],
)
def test_encodings_without_a_meaning_are_refused_with_a_remedy(encoding, expected):
    with pytest.raises(DecodeError) as caught:
        rgb_from_raw(encoding, 2, 2, 12, np.zeros(24, np.uint8))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("encoding", "height", "width", "step", "size", "expected"),
    [
        ("yuyv", 2, 3, 6, 12, "expected an even width of yuyv"),
        ("bayer_rggb8", 2, 8, 8, 16, "expected at least 3 x 3 of bayer_rggb8"),
        ("rgb8", 2, 2, 5, 10, "step of 5 bytes, expected at least 6"),
        ("rgb8", 2, 2, 6, 11, "11 bytes of image data, expected 12"),
        ("rgb8", 2**31, 2**31, 2**33, 12, "bytes of image data, expected"),
    ],
)
def test_sizes_that_contradict_each_other(encoding, height, width, step, size, expected):
    with pytest.raises(DecodeError) as caught:
        rgb_from_raw(encoding, height, width, step, np.zeros(size, np.uint8))
    assert expected in str(caught.value)


# Compressed


def encoded(suffix, pixels=SMOOTH, *options):
    return cv2.imencode(suffix, pixels[..., ::-1] if pixels.ndim == 3 else pixels, options)[1]


def test_png_gives_the_same_pixels_and_jpeg_nearly():
    assert (rgb_from_compressed("png", encoded(".png")) == SMOOTH).all()
    jpeg = rgb_from_compressed("rgb8; jpeg compressed bgr8", bytes(encoded(".jpg")))
    assert np.abs(jpeg.astype(int) - SMOOTH).mean() < 3.0
    assert jpeg.shape == SMOOTH.shape
    assert jpeg.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_grey_images_become_grey_rgb(suffix):
    result = rgb_from_compressed("", encoded(suffix, np.ascontiguousarray(SMOOTH[..., 1])))
    assert (result == result[..., :1]).all()
    assert result.shape == SMOOTH.shape


def test_transparency_is_left_out():
    with_alpha = np.dstack([SMOOTH[..., ::-1], np.full(SMOOTH.shape[:2], 7, np.uint8)])
    assert (rgb_from_compressed("png", cv2.imencode(".png", with_alpha)[1]) == SMOOTH).all()


def test_an_orientation_noted_in_the_file_is_ignored():
    jpeg = bytes(encoded(".jpg"))
    # EXIF: one entry, orientation (0x0112) = 6, to be turned by 90 degrees.
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + bytes(4)
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape[:2] == (48, 36)
    assert (rgb_from_compressed("", turned) == rgb_from_compressed("", jpeg)).all()


def test_progressive_and_padded_jpegs_are_read():
    progressive = encoded(".jpg", SMOOTH, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert rgb_from_compressed("", progressive).shape == SMOOTH.shape
    jpeg = bytes(encoded(".jpg"))
    assert (rgb_from_compressed("", jpeg + bytes(999)) == rgb_from_compressed("", jpeg)).all()


def png(*chunks):
    file = io.BytesIO()
    file.write(b"\x89PNG\r\n\x1a\n")
    for kind, body in chunks:
        checksum = zlib.crc32(kind + body)
        file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum))
    return file.getvalue()


def head(width, height, bits=8, colour=2):
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)


END = (b"IEND", b"")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (b"", "compressed as 'x' is not supported, only JPEG and PNG"),
        (b"GIF89a", "is not supported, only JPEG and PNG"),
        (png(head(60000, 60000), END), f"claims 60000 x 60000 pixels, expected 1 to {MAX_PIXELS}"),
        (png(head(0, 5), END), "claims 0 x 5 pixels"),
        (png(head(4, 4, bits=16), END), "PNG image of 16 bits per channel, expected 8"),
        (png(head(4, 4), (b"acTL", bytes(8)), END), "PNG image is animated"),
        (png(END), "PNG image is damaged: b'IEND' at byte 8"),
        (png(head(4, 4), head(4, 4), END), "PNG image is damaged: b'IHDR' at byte 33"),
        (png(head(4, 4)), "PNG image ends after 33 bytes"),
        (b"\xff\xd8\xff\xe0", "JPEG image of 4 bytes has no end"),
        (b"\xff\xd8\xff\xd9", "JPEG image is damaged: no frame header"),
        (
            b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03" + bytes(9) + b"\xff\xd9",
            "JPEG image claims 65535 x 65535 pixels",
        ),
        (
            b"\xff\xd8\xff\xc1\0\x11\x0c\0\x10\0\x10\x03" + bytes(9) + b"\xff\xd9",
            "JPEG image of 12 bits per channel",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_before_it_is_decoded(file, expected, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(DecodeError) as caught:
        rgb_from_compressed("x", file)
    assert expected in str(caught.value)


def test_sixteen_bit_files_are_refused():
    with pytest.raises(DecodeError, match="16 bits per channel"):
        rgb_from_compressed("", cv2.imencode(".png", SMOOTH.astype(np.uint16) * 256)[1])


@given(st.integers(0, 10_000), st.sampled_from([".png", ".jpg"]))
def test_cut_off_files_are_refused(place, suffix):
    file = bytes(encoded(suffix))
    with pytest.raises(DecodeError):
        rgb_from_compressed("", file[: place % len(file)])


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 7)), min_size=1, max_size=3))
def test_flipped_bits_of_a_png_always_show(flips):
    file = bytearray(encoded(".png"))
    for place, bit in flips:
        file[place % len(file)] ^= 1 << bit
    if bytes(file) == bytes(encoded(".png")):
        return
    with pytest.raises(DecodeError):
        rgb_from_compressed("", bytes(file))


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 7)), min_size=1, max_size=4))
def test_flipped_bits_of_a_jpeg_give_an_error_or_an_image(flips):
    """What a flipped bit makes of a picture cannot be told from a picture."""
    file = bytearray(encoded(".jpg"))
    for place, bit in flips:
        file[place % len(file)] ^= 1 << bit
    try:
        result = rgb_from_compressed("", bytes(file))
    except DecodeError:
        return
    assert result.dtype == np.uint8
    assert result.ndim == 3
