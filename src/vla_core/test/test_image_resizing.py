import time
import timeit

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_core.image_resizing import resize, resize_weights

sides = st.integers(1, 70)


def images(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@given(sides, sides)
def test_weights_are_whole_256ths_that_add_up_to_one(source, target):
    weights = resize_weights(source, target)
    assert weights.shape == (target, source)
    assert weights.dtype == np.float32
    assert (weights >= 0).all()
    assert (weights == np.rint(weights)).all()
    assert (weights.sum(axis=1) == 256).all()


@given(sides)
def test_equal_sizes_are_the_identity(side):
    assert (resize_weights(side, side) == 256 * np.eye(side)).all()


@given(sides, sides, sides, sides, st.integers(0, 2**32 - 1))
def test_result_is_what_integer_arithmetic_gives(height, width, new_height, new_width, seed):
    image = images(height, width, seed)
    rows = resize_weights(height, new_height).astype(np.int64)
    columns = resize_weights(width, new_width).astype(np.int64)
    exact = np.einsum("ah,bw,hwc->abc", rows, columns, image.astype(np.int64))
    result = resize(image, new_height, new_width)
    assert result.dtype == np.uint8
    assert (np.abs(result.astype(np.int64) * 65536 - exact) <= 32768).all()


@given(sides, sides, st.integers(0, 255))
def test_flat_images_stay_flat(height, width, level):
    image = np.full((height, width, 3), level, np.uint8)
    assert (resize(image, 31, 17) == level).all()


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_shrinking_by_a_whole_factor_averages_blocks(factor, cells, seed):
    image = images(factor * cells, factor * cells, seed)
    blocks = image.reshape(cells, factor, cells, factor, 3).mean(axis=(1, 3))
    # A weight is off by less than 1/256, which matters for one of few pixels.
    assert np.abs(resize(image, cells, cells) - blocks).max() <= 0.5 + 2 * 255 * factor / 2 / 256


def test_fine_stripes_do_not_alias():
    stripes = np.zeros((120, 160, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = resize(stripes, 30, 40)
    assert np.abs(shrunk.astype(int) - 127).max() <= 1


def test_enlarging_interpolates_between_pixel_centres():
    ramp = np.zeros((1, 2, 3), np.uint8)
    ramp[0, 1] = 200
    assert resize(ramp, 1, 4)[0, :, 0].tolist() == [0, 50, 150, 200]


def test_mirrored_images_give_mirrored_results():
    image = images(120, 160, 3)
    mirrored = resize(image[:, ::-1], 96, 128)[:, ::-1]
    # Exact weights are symmetric; their rounding may favour one side by a 256th.
    assert np.abs(mirrored.astype(int) - resize(image, 96, 128)).max() <= 4


def test_result_does_not_depend_on_memory_layout():
    image = images(120, 160, 1)
    expected = resize(image, 96, 128)
    assert (resize(np.asfortranarray(image), 96, 128) == expected).all()
    padded = np.zeros((130, 170, 3), np.uint8)
    padded[5:125, 5:165] = image
    assert (resize(padded[5:125, 5:165], 96, 128) == expected).all()


def test_a_copy_is_returned_even_if_there_is_nothing_to_do():
    image = images(4, 4, 0)
    assert not np.shares_memory(resize(image, 4, 4), image)


def test_the_simulated_camera_is_resized_within_two_milliseconds():
    image = images(120, 160, 2)
    resize(image, 96, 128)
    # Processor time, the best of many: other processes share the machine.
    times_s = timeit.repeat(
        lambda: resize(image, 96, 128), number=20, repeat=30, timer=time.process_time
    )
    assert min(times_s) / 20 < 0.002
