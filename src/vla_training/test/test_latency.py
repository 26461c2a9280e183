import time

import numpy as np

from vla_training.latency import Timing, time_in_turns


def test_calls_take_turns():
    order = []
    calls = {name: lambda index, name=name: order.append((name, index)) for name in "ab"}
    timings = time_in_turns(calls, rounds=2, per_round=2, warm_up=1)
    turn = [("a", 0), ("a", 0), ("a", 1), ("b", 0), ("b", 0), ("b", 1)]
    assert order == turn * 2
    assert timings["a"].ms.shape == (2, 2)


def test_a_longer_call_takes_longer():
    calls = {"short": lambda index: time.sleep(0.002), "long": lambda index: time.sleep(0.008)}
    timings = time_in_turns(calls, rounds=3, per_round=3, warm_up=0)
    assert timings["short"].to_dict()["p50"] >= 2.0
    assert timings["long"].to_dict()["p50"] >= 8.0
    assert timings["long"].ratio_to(timings["short"])["median"] > 1.5


def test_figures_of_a_timing():
    timing = Timing(np.array([[1.0, 2.0, 9.0], [3.0, 4.0, 5.0]]))
    figures = timing.to_dict()
    assert (figures["p50"], figures["lowest_round"], figures["highest_round"]) == (3.5, 2.0, 4.0)
    assert 8.0 < figures["p99"] <= 9.0
    # Rounds are compared with the rounds beside them.
    ratio = timing.ratio_to(Timing(np.array([[4.0], [4.0]])))
    assert ratio == {"median": 0.75, "lowest": 0.5, "highest": 1.0}
