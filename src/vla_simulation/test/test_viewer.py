"""What the viewer draws, and how a session answers to the people in front of it."""

import dataclasses
import math

import numpy as np
import pytest
from PIL import Image
from viewer_sessions import SEVERAL_STATIONS, StraightPlanner

from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE, SCAN
from vla_simulation.errors import SimulationError
from vla_simulation.viewer import composer, drawing
from vla_simulation.viewer.plan import follow, unicycle_path
from vla_simulation.viewer.session import EpisodeChoice, Session, Wish
from vla_simulation.viewer.video import open_video

CHASE = np.full((composer.CHASE_SIZE[1], composer.CHASE_SIZE[0], 3), (10, 90, 160), np.uint8)


@pytest.fixture
def session(blind_env):
    return Session(blind_env, StraightPlanner(), "expert", EpisodeChoice(SEVERAL_STATIONS))


@pytest.fixture
def composed(session):
    """A moment on the way, its picture, and where things of the world lie in it."""
    for _ in range(40):
        session.advance()
    moment = session.moment()
    picture = composer.compose(moment, CHASE, session.env.config)
    return moment, picture, composer.fit_of(moment, session.env.config)


def colours_near(picture, pixel, radius=2):
    column, row = round(pixel[0]), round(pixel[1])
    patch = picture[row - radius : row + radius + 1, column - radius : column + radius + 1]
    return patch.reshape(-1, 3).astype(int)


def shows(picture, pixel, colour, radius=2, tolerance=40):
    away = np.abs(colours_near(picture, pixel, radius) - np.array(colour)).max(axis=1)
    return away.min() <= tolerance


def test_stations_stand_where_they_are_in_their_colours(composed, blind_env):
    moment, picture, fit = composed
    config = blind_env.config.station
    assert len(moment.scene.stations) > 1
    for station in moment.scene.stations:
        # Beside the number, on the panel.
        x = config.panel_front_m + config.panel_thickness_m / 2
        point = station.world_from_dock @ Pose2D(x, 0.8 * config.panel_half_width_m, 0.0)
        expected = drawing.colour_of(station.look.rgb)
        assert shows(picture, fit.pixel(point.x, point.y), expected, radius=1)


def test_only_the_commanded_station_is_framed(composed, blind_env):
    moment, picture, fit = composed
    config = blind_env.config.station
    framed = []
    for station in moment.scene.stations:
        back = config.panel_front_m + config.panel_thickness_m + 0.05
        edge = station.world_from_dock @ Pose2D(back, 0.1, 0.0)
        framed.append(shows(picture, fit.pixel(edge.x, edge.y), drawing.GOOD))
    assert framed == [k == moment.scene.goal for k in range(len(framed))]


def test_robot_path_and_plan_lie_where_they_are(composed, blind_env):
    moment, picture, fit = composed
    robot, base = blind_env.config.robot, moment.truth.world_from_base
    rear = base @ Pose2D(-robot.length_m / 2, 0.1, 0.0)
    assert shows(picture, fit.pixel(rear.x, rear.y), drawing.ROBOT)
    begin = moment.trail[2]
    assert shows(picture, fit.pixel(begin.x, begin.y), drawing.TRAIL)
    # Half a second at 0.5 m/s: a quarter of a metre ahead.
    ahead = base @ Pose2D(0.25, 0.0, 0.0)
    assert shows(picture, fit.pixel(ahead.x, ahead.y), drawing.INTENT)
    aside = base @ Pose2D(0.25, 0.25, 0.0)
    assert not shows(picture, fit.pixel(aside.x, aside.y), drawing.INTENT)


def test_scan_hits_are_drawn_where_they_hit(composed, blind_env):
    moment, picture, fit = composed
    scan, scanner = moment.scan, blind_env.config.scanner
    base = moment.truth.world_from_base
    inside = 0
    for k in np.flatnonzero(np.isfinite(scan.ranges))[::12]:
        angle = scan.angle_min + k * scan.angle_increment
        distance = float(scan.ranges[k])
        hit = base @ Pose2D(
            scanner.x_m + distance * math.cos(angle), distance * math.sin(angle), 0.0
        )
        column, row = fit.pixel(hit.x, hit.y)
        left, top, right, bottom = composer._PLAN_BOX
        if left + 3 < column < right - 3 and top + 3 < row < bottom - 25:
            inside += 1
            assert shows(picture, (column, row), drawing.SCAN, tolerance=90)
    assert inside >= 3


def test_picture_has_the_view_and_the_camera_image(session, composed):
    moment, picture, _ = composed
    assert picture.shape == (composer.SIZE[1], composer.SIZE[0], 3)
    assert (picture[200, 300] == CHASE[0, 0]).all()
    image = np.zeros((120, 160, 3), np.uint8)
    image[:, 80:] = (200, 40, 20)
    picture = composer.compose(dataclasses.replace(moment, image=image), CHASE, session.env.config)
    camera = picture[composer.SIZE[1] - 240 :, :320]
    assert (camera[120, 40] == 0).all()
    assert (camera[120, 300] == (200, 40, 20)).all()


def test_words_change_what_is_written(session, composed):
    moment, picture, _ = composed
    told = dataclasses.replace(moment, sentence="something else")
    other = composer.compose(told, CHASE, session.env.config)
    assert (picture[:52] != other[:52]).any()
    assert (picture[60:] == other[60:]).all()
    calm = dataclasses.replace(moment, interventions={})
    other = composer.compose(calm, CHASE, session.env.config)
    left, top, right, bottom = composer._STATUS_BOX
    assert (picture[top:bottom, left:right] != other[top:bottom, left:right]).any()


def test_rendered_picture(rendering_env):
    session = Session(rendering_env, StraightPlanner(), "expert", EpisodeChoice(SEVERAL_STATIONS))
    picture = session.picture(shadows=False)
    image = rendering_env.readings()[IMAGE].rgb
    camera = picture[composer.SIZE[1] - 240 :, :320].astype(float)
    expected = np.asarray(Image.fromarray(image).resize((320, 240), Image.Resampling.BILINEAR))
    # But for the caption in its corner.
    np.testing.assert_array_equal(camera[40:], expected[40:])
    assert picture[60:440, 10:630].std() > 10  # a scene, not a blank


# ---------------------------------------------------------------------- the session


def test_pause_stops_time(session):
    session.wish(Wish.PAUSE)
    session.advance()
    before = session.env.truth.time_s
    session.advance()
    assert session.env.truth.time_s == before
    assert session.moment().paused
    session.wish(Wish.PAUSE)
    session.advance()
    assert session.env.truth.time_s > before


def test_swap_commands_another_station_of_the_same_episode(session):
    env = session.env
    goal, start, sentence = env.scene.goal, env.truth.world_from_base, env.instruction
    session.advance()
    session.wish(Wish.SWAP)
    session.wish(Wish.PAUSE)
    session.advance()
    assert env.seed == SEVERAL_STATIONS
    assert env.scene.goal != goal
    assert env.instruction != sentence
    assert env.truth.world_from_base == start
    assert session.trail == [start]


def test_next_begins_the_next_seed(session):
    session.wish(Wish.NEXT)
    session.wish(Wish.PAUSE)
    session.advance()
    assert session.env.seed == SEVERAL_STATIONS + 1
    assert session.env.truth.time_s == 0.0


def test_asked_station_is_kept_where_there_is_one(blind_env):
    choice = EpisodeChoice(SEVERAL_STATIONS, station=1, sentence="go left")
    session = Session(blind_env, StraightPlanner(), "expert", choice)
    for _ in range(4):
        assert blind_env.scene.goal == 1
        assert session.moment().sentence == "go left"
        session.begin_next()
    assert blind_env.seed >= SEVERAL_STATIONS + 4


def test_episode_lingers_after_docking(session):
    session.run_to_end()
    assert session.env.truth.docked
    assert not session.over
    while not session.over:
        session.advance()
    assert session.env.truth.time_s == pytest.approx(session.end_s + 1.5)
    assert session.moment().outcome == "docked"


# ---------------------------------------------------------------------- drawing and files


def test_unicycle_follows_its_arc():
    speed, turn, period = 0.4, 0.8, 0.05
    path = unicycle_path(np.tile([speed, turn], (10, 1)), period)
    angle, radius = 10 * period * turn, speed / turn
    assert path.shape == (11, 3)
    assert path[-1, 2] == pytest.approx(angle)
    expected = (radius * math.sin(angle), radius * (1 - math.cos(angle)))
    np.testing.assert_allclose(path[-1, :2], expected, atol=1e-3)
    poses = follow(Pose2D(1.0, 2.0, math.pi / 2), np.array([[1.0, 0.0]]), 0.5)
    assert (poses[-1].x, poses[-1].y) == pytest.approx((1.0, 2.5))


def test_korean_without_a_font_is_romanized():
    assert drawing.romanized("주황색 충전기에 도킹해") == "juhwangsaek chungjeongie dokinghae"
    assert drawing.romanized("2번 charger") == "2beon charger"
    written, face = drawing.sentence_font("왼쪽 충전소로 가", 20)
    assert face.getlength(written) > 100


@pytest.mark.parametrize("name", ["run.mp4", "run.gif"])
def test_video_can_be_read_again(tmp_path, name):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / name
    video = open_video(path, 100)
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    for colour in colours:
        video.write(np.full((240, 320, 3), colour, np.uint8))
    video.close()
    if path.suffix == ".gif":
        with Image.open(path) as movie:
            frames = []
            for k in range(movie.n_frames):
                movie.seek(k)
                frames.append(np.asarray(movie.convert("RGB")))
    else:
        movie, frames = cv2.VideoCapture(str(path)), []
        assert movie.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
        while True:
            ok, frame = movie.read()
            if not ok:
                break
            frames.append(frame[:, :, ::-1])
    assert [frame.shape for frame in frames] == [(240, 320, 3)] * 3
    for frame, colour in zip(frames, colours, strict=True):
        np.testing.assert_allclose(frame.reshape(-1, 3).mean(axis=0), colour, atol=12)


@pytest.mark.parametrize(("name", "says"), [("a.avi", ".mp4"), ("none/a.gif", "does not exist")])
def test_video_that_cannot_be_written(tmp_path, name, says):
    with pytest.raises(SimulationError, match=says):
        open_video(tmp_path / name, 100)


def test_scan_of_the_moment_is_the_environment_s(session):
    np.testing.assert_array_equal(session.moment().scan.ranges, session.env.readings()[SCAN].ranges)
