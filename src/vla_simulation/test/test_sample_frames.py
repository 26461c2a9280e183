"""Contact sheets."""

import numpy as np

from vla_simulation.sample_frames import captioned, sheet, suite_sheet


def test_tiles_lie_in_rows_from_left_to_right():
    tiles = [np.full((20, 30, 3), 10 * k, np.uint8) for k in range(5)]
    image = sheet(tiles, 2)
    assert image.shape == (3 * 24 - 4, 2 * 34 - 4, 3)
    assert image[30, 40, 0] == 30
    assert (image[50:, 40:] == 255).all()  # the last row is not full


def test_captions_stand_above_the_picture():
    picture = np.full((40, 200, 3), 77, np.uint8)
    image = captioned(picture, "nominal")
    assert np.array_equal(image[-40:], picture)
    assert image[:-40].max() > 150


def test_a_suite_is_shown_as_its_camera_sees_it(rendering_env):
    image = suite_sheet(rendering_env, ["lighting", "nominal"], 5)
    observation, _ = rendering_env.reset(seed=9, options={"suite": "nominal"})
    height, width = (np.array(observation["image"].shape[:2]) * 1.5).astype(int)
    second_row = image[-height:, :width]
    assert abs(second_row.mean() - observation["image"].mean()) < 1.5
