"""The page: real requests to a real server."""

import dataclasses
import http.client
import io
import json
import socket
import time

import numpy as np
import psutil
import pytest
from PIL import Image
from viewer_sessions import SEVERAL_STATIONS, StraightPlanner

from vla_simulation.environment import DockingEnv
from vla_simulation.errors import SimulationError
from vla_simulation.suites import load_suite
from vla_simulation.viewer.live import run_live
from vla_simulation.viewer.page import PageServer
from vla_simulation.viewer.session import LINGER_S, EpisodeChoice, Session


@pytest.fixture
def session(blind_env):
    return Session(blind_env, StraightPlanner(), "expert", EpisodeChoice(SEVERAL_STATIONS))


@pytest.fixture
def page(session):
    with PageServer(session) as server:
        server.show(np.full((48, 64, 3), (220, 30, 40), np.uint8), {"sentence": "왼쪽으로 가"})
        yield server


def port_of(page):
    return int(page.url.rsplit(":", 1)[1].strip("/"))


def ask(page, path, method="GET", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=10)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_page_needs_nothing_from_elsewhere(page):
    status, body = ask(page, "/")
    assert status == 200
    text = body.decode()
    assert 'src="/stream"' in text
    assert "http://" not in text
    assert "https://" not in text


def test_state_and_picture(page):
    assert json.loads(ask(page, "/state")[1]) == {"sentence": "왼쪽으로 가"}
    picture = Image.open(io.BytesIO(ask(page, "/picture.jpg")[1]))
    assert picture.size == (64, 48)
    assert np.abs(np.asarray(picture).mean(axis=(0, 1)) - (220, 30, 40)).max() < 6


def test_stream_goes_on_with_new_pictures(page):
    connection = http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=10)
    connection.request("GET", "/stream")
    answer = connection.getresponse()
    assert answer.getheader("Content-Type").startswith("multipart/x-mixed-replace")
    means = []
    for level in (0, 250):
        page.show(np.full((48, 64, 3), level, np.uint8), {})
        means.append(next_picture(answer, level).mean())
    assert means[0] < 5
    assert means[1] > 245
    connection.close()


def next_picture(answer, level):
    """The next picture of this brightness; those that were on the way are passed over."""
    while True:
        line = answer.readline()
        if not line.startswith(b"Content-Length:"):
            continue
        answer.readline()
        picture = np.asarray(Image.open(io.BytesIO(answer.read(int(line.split(b":")[1])))))
        if abs(picture.mean() - level) < 10:
            return picture


def test_wishes_reach_the_session(page, session):
    assert ask(page, "/wish/pause", "POST")[0] == 202
    session.advance()
    assert session.paused
    goal = session.env.scene.goal
    assert ask(page, "/wish/swap", "POST")[0] == 202
    session.advance()
    assert session.env.scene.goal != goal
    assert ask(page, "/wish/fly", "POST")[0] == 404
    assert ask(page, "/nowhere")[0] == 404


def test_other_sites_get_nothing(page, session):
    rebound = {"Host": f"docking.example:{port_of(page)}"}
    assert ask(page, "/state", headers=rebound)[0] == 403
    foreign = {"Origin": "http://docking.example"}
    assert ask(page, "/wish/pause", "POST", headers=foreign)[0] == 403
    session.advance()
    assert not session.paused


def test_nobody_else_can_connect(page):
    port = port_of(page)
    listening = [
        link.laddr
        for link in psutil.Process().net_connections("inet")
        if link.status == psutil.CONN_LISTEN and link.laddr.port == port
    ]
    assert [address.ip for address in listening] == ["127.0.0.1"]


def test_live_keeps_to_the_clock():
    """Half a second of driving and what an episode lingers for, in real time."""
    env = DockingEnv(dataclasses.replace(load_suite("nominal"), time_limit_s=0.5), render=False)
    ended = []
    try:
        session = Session(env, StraightPlanner(), "expert", EpisodeChoice(SEVERAL_STATIONS))
        session.picture(shadows=False)  # the first one takes longer
        with PageServer(session) as page:
            begin_s = time.monotonic()
            run_live(
                session,
                page,
                window=False,
                episodes=1,
                on_end=lambda: ended.append(session.moment().truth.time_s),
            )
            wall_s = time.monotonic() - begin_s
            assert page.state()["seed"] == SEVERAL_STATIONS
            assert ask(page, "/picture.jpg")[0] == 200
    finally:
        env.close()
    assert ended == [pytest.approx(0.5 + LINGER_S)]
    assert wall_s >= 0.95 * ended[0]


def test_closed_page_frees_its_port(session):
    with PageServer(session) as page:
        port = port_of(page)
        with pytest.raises(SimulationError, match=f"port {port} of 127.0.0.1"):
            PageServer(session, port)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
