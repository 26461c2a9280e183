"""Pictures on surfaces: seams, atlases, digits and markers."""

import cv2
import numpy as np
import pytest

from vla_simulation.errors import SimulationError
from vla_simulation.scenes import textures
from vla_simulation.scenes.textures import signs
from vla_simulation.scenes.textures.atlas import DECALS, PROPS, Atlas


def seam(image, axis):
    """Change of a texture across its seam, over the largest one from line to line within it.

    A joint of the floor may lie on the seam; its other rim then lies within.
    """
    image = np.moveaxis(image.astype(float), axis, 0)
    within = np.abs(np.diff(image, axis=0)).mean((1, 2))
    return np.abs(image[0] - image[-1]).mean() / within.max()


@pytest.mark.parametrize("name", textures.FLOORS)
def test_floors_repeat_without_a_seam(name):
    image = textures.FLOORS[name]()
    assert image.dtype == np.uint8
    assert image.shape == (512, 512, 3)
    assert image.std() > 4
    for axis in (0, 1):
        assert seam(image, axis) < 1.4


@pytest.mark.parametrize("name", textures.WALLS)
def test_walls_repeat_along_the_room_and_darken_towards_the_floor(name):
    image = textures.WALLS[name]()
    rows, columns = image.shape[:2]
    assert columns / rows == textures.WALL_SIZE_M[0] / textures.WALL_SIZE_M[1]
    assert seam(image, 1) < 1.2
    assert image[-rows // 12 :].mean() < image[: rows // 2].mean()


def test_textures_are_the_same_every_time():
    for draw in (textures.FLOORS["concrete"], textures.WALLS["brick"]):
        assert np.array_equal(draw(), draw())


@pytest.mark.parametrize("atlas", [PROPS, DECALS])
def test_tiles_of_an_atlas_are_painted_and_do_not_overlap(atlas):
    rows, columns = atlas.image.shape[:2]
    covered = np.zeros((rows, columns), int)
    for tile in atlas.tiles.values():
        place = (
            slice(round(tile.top * rows), round(tile.bottom * rows)),
            slice(round(tile.left * columns), round(tile.right * columns)),
        )
        covered[place] += 1
        assert atlas.image[place].std() > 0
    assert covered.max() == 1


def test_an_unknown_tile_is_named_with_the_known_ones():
    with pytest.raises(SimulationError, match=r"texture tile 'marble' is unknown.*carton_a"):
        PROPS.tile("marble")


def test_a_full_atlas_says_so():
    content = {f"tile_{k}": ((2, 2), lambda _rng, shape: np.zeros((*shape, 3))) for k in range(5)}
    with pytest.raises(SimulationError, match=r"atlas of 16 cells is full, no 2 x 2 free"):
        Atlas(content, (256, 256, 3))


@pytest.mark.parametrize("name", ["soft_box", "soft_disc", "oil", "dust"])
def test_shadows_and_stains_fade_out_before_their_rim(name):
    tile = DECALS.tile(name)
    rows, columns = DECALS.image.shape[:2]
    opacity = DECALS.image[
        int(tile.top * rows) : int(tile.bottom * rows),
        int(tile.left * columns) : int(tile.right * columns),
        3,
    ]
    assert opacity.max() > 60
    rim = np.concatenate([opacity[0], opacity[-1], opacity[:, 0], opacity[:, -1]])
    assert rim.max() < 25


def test_digits_differ_and_fill_their_boards():
    boards = [signs.digit_sign(digit).mean(2) < 128 for digit in (1, 2, 3)]
    for k, board in enumerate(boards):
        inked = np.flatnonzero(board.any(1))
        assert 0.8 < (inked[-1] - inked[0]) / len(board) < 0.95
        for other in boards[:k]:
            assert (board != other).mean() > 0.08


@pytest.mark.parametrize("identity", [0, 1, 2])
def test_opencv_reads_the_markers(identity):
    picture = np.full((300, 300), 90, np.uint8)
    drawn = signs.marker(identity)[..., 0]
    picture[80 : 80 + len(drawn), 80 : 80 + len(drawn)] = drawn
    dictionary = cv2.aruco.getPredefinedDictionary(signs.MARKER_DICTIONARY)
    corners, found, _ = cv2.aruco.ArucoDetector(dictionary).detectMarkers(picture)
    assert found.tolist() == [[identity]]
    side = np.linalg.norm(corners[0][0, 0] - corners[0][0, 1])
    assert side / len(drawn) == pytest.approx(1 / (1 + 2 * signs.MARKER_WHITE_SHARE), abs=0.02)
