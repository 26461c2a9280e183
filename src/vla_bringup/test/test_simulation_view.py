"""``vla sim`` as a user starts it."""

import http.client
import io
import json
import re
import signal
import socket

import numpy as np
import pytest
from bundles import standing_bundle
from PIL import Image
from processes import VLA

from vla_bringup import cli
from vla_bringup.resources import default_contract
from vla_bringup.simulation_view import ShownDriver
from vla_core.contract import Contract
from vla_simulation.config import CONTROL_PERIOD_S
from vla_simulation.environment import DockingEnv
from vla_simulation.viewer.plan import follow
from vla_training.evaluation.evaluate import EvaluationConfig, make_driver


@pytest.fixture
def sim(start):
    return lambda *arguments: start(*VLA, "sim", *arguments)


def test_page_shows_the_episode_and_ends_with_ctrl_c(sim):
    program = sim("--view", "page", "--suite", "single", "--seed", "1")
    program.wait_for("watch at http://127.0.0.1:")
    port = int(re.search(r"127\.0\.0\.1:(\d+)/", program.output)[1])
    pictures = read_pictures(port, 4)
    assert {picture.shape for picture in pictures} == {(696, 1200, 3)}
    assert (pictures[0] != pictures[-1]).any()  # it moves
    state = json.loads(ask(port, "/state"))
    assert state["seed"] == 1
    assert state["stations"] == 1
    links = program._root.net_connections("inet")
    assert {link.laddr.ip for link in links if link.status == "LISTEN"} == {"127.0.0.1"}
    program.signal(signal.SIGINT)
    assert program.wait(20) == 130
    assert program.errors.strip() == ""
    assert program.orphans() == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def ask(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    return connection.getresponse().read()


def read_pictures(port, count):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/stream")
    answer = connection.getresponse()
    pictures = []
    while len(pictures) < count:
        line = answer.readline()
        if line.startswith(b"Content-Length:"):
            answer.readline()
            jpeg = answer.read(int(line.split(b":")[1]))
            pictures.append(np.asarray(Image.open(io.BytesIO(jpeg))))
    connection.close()
    return pictures


def test_line_and_record_per_episode(capsys):
    assert cli.main(["sim", "--episodes", "2", "--seed", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["seed", "5", "docked"],
        ["seed", "6", "docked"],
    ]
    assert cli.main(["sim", "--seed", "5", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["outcome"] == "docked"
    assert record["docked_station"] == record["goal"]
    assert abs(record["lateral_error_mm"]) < 10
    assert f"“{record['instruction']}”" in lines[0]


def test_station_can_be_chosen(capsys):
    goals = []
    for station in ("0", "1"):
        assert cli.main(["sim", "--seed", "3", "--station", station, "--json"]) == 0
        (record,) = json.loads(capsys.readouterr().out)
        assert record["outcome"] == "docked"
        goals.append(record["docked_station"])
    assert goals == [0, 1]


def test_the_chunk_is_what_is_planned(tmp_path):
    contract = Contract.load(default_contract())
    driver = make_driver(
        EvaluationConfig(str(standing_bundle(tmp_path, contract, action=(0.2, -0.3))))
    )
    shown = ShownDriver(driver)
    env = DockingEnv("single")
    try:
        env.reset(seed=1)
        shown.reset(env)
        assert shown.planned(env).shape == (0, 2)  # nothing is known before the first inference
        for _ in range(4):
            env.step(np.asarray(shown.command(env), np.float32))
        planned = shown.planned(env)
    finally:
        env.close()
    # What was asked for two periods ago at the most reaches that much less far ahead.
    assert contract.action.chunk_length - 3 <= len(planned) < contract.action.chunk_length
    np.testing.assert_allclose(planned, np.tile([0.2, -0.3], (len(planned), 1)), atol=1e-6)


def test_policy_is_told_the_given_sentence(bundle):
    driver = make_driver(EvaluationConfig(str(bundle)))
    told, policy = [], driver._policy

    class Listening:
        bundle = policy.bundle
        distances = None

        def __call__(self, frame, sentence):
            told.append(sentence)
            return policy(frame, sentence)

    driver._policy = Listening()
    env = DockingEnv("single")
    try:
        for sentence in ("", "dock at the orange charger"):
            env.reset(seed=1)
            driver.sentence = sentence
            driver.reset(env)
            driver.command(env)
        assert told == [env.instruction, "dock at the orange charger"]
    finally:
        env.close()


def test_the_expert_plans_to_the_dock():
    shown = ShownDriver(make_driver(EvaluationConfig("expert")))
    env = DockingEnv("single", render=False)
    env.reset(seed=1)
    shown.reset(env)
    poses = follow(env.truth.dock_from_base, shown.planned(env), CONTROL_PERIOD_S)
    assert len(poses) == 21
    assert poses[-1].distance < poses[0].distance - 0.1
    env.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--view", "--video", "a.mp4"], "--view and --video"),
        (["--view", "--json"], "--view and --json"),
        (["--view", "window"], "--view page"),
        (["--video", "a.avi"], ".mp4"),
        (["--station", "7"], "stations"),
        (["--suite", "moon"], "moon"),
    ],
)
def test_what_cannot_be_shown(monkeypatch, capsys, arguments, says):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert cli.main(["sim", *arguments]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line
