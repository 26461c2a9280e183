"""What brings faults about: the policy that fails on demand, the link that breaks."""

import socket
import threading
from dataclasses import replace

import numpy as np
import pytest

from vla_bringup.faults.injections import between
from vla_bringup.faults.link import Link
from vla_bringup.faults.marked_graph import marked_bundle
from vla_bringup.faults.scan_marker import MARKER_M
from vla_bringup.resources import default_policy
from vla_core import keys
from vla_core.errors import PolicyError
from vla_policy_node.errors import WorkerError
from vla_policy_node.inference.runtimes import load_runtime
from vla_policy_node.inference.worker import WorkerSpec, blank_frame
from vla_policy_node.inference.worker_process import WorkerProcess

TIMEOUT_S = 20.0


def test_sizes_are_spread_by_order_of_magnitude():
    assert between((0.1, 1000.0), 0.0) == pytest.approx(0.1)
    assert between((0.1, 1000.0), 0.5) == pytest.approx(10.0)
    assert between((0.1, 1000.0), 1.0) == pytest.approx(1000.0)


def test_the_marked_policy_is_the_policy_except_at_its_markers(tmp_path):
    plain = load_runtime(WorkerSpec(default_policy(), "onnx", 1))
    marked = load_runtime(WorkerSpec(marked_bundle(default_policy(), tmp_path / "p"), "onnx", 1))
    frame = blank_frame(plain.bundle.contract)

    def with_range(sector, range_m):
        scan = np.full_like(frame.arrays[keys.SCAN], 2.0)
        scan[sector] = range_m
        return replace(frame, arrays=frame.arrays | {keys.SCAN: scan})

    for sector in (0, 1, -1):
        usual = with_range(sector, MARKER_M - 0.5)
        np.testing.assert_array_equal(
            marked.infer(usual, "dock at the orange charger"),
            plain.infer(usual, "dock at the orange charger"),
        )
    with pytest.raises(PolicyError, match="holds NaN or infinity"):
        marked.infer(with_range(0, MARKER_M), "dock")
    with pytest.raises(PolicyError, match=r"got shape \(1, 9, 2\), expected \(1, 10, 2\)"):
        marked.infer(with_range(-1, MARKER_M), "dock")
    marked.infer(with_range(2, MARKER_M), "dock")
    worker = WorkerProcess(WorkerSpec(marked.bundle.path, "onnx", 1))
    try:
        worker.wait_until_ready(TIMEOUT_S)
        assert not worker.infer(with_range(2, MARKER_M), "dock", TIMEOUT_S).error
        with pytest.raises(WorkerError, match=r"gave no answer for 0\.5 s"):
            worker.infer(with_range(1, MARKER_M), "dock", 0.5)
    finally:
        worker.kill()
        worker.stop()


@pytest.fixture
def echo():
    """The port of a server that sends everything back."""
    listener = socket.create_server(("127.0.0.1", 0))

    def converse(connection):
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=converse, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def link(echo):
    link = Link(echo)
    yield link
    link.close()


def connected(link):
    client = socket.create_connection(("127.0.0.1", link.port), TIMEOUT_S)
    client.sendall(b"hello")
    assert client.recv(100) == b"hello"
    return client


def test_a_link_that_is_cut_says_so_and_takes_new_connections(link):
    with connected(link) as client:
        link.cut()
        assert client.recv(100) == b""
    with connected(link):
        pass


def test_a_link_that_stalls_says_nothing_and_forgets_what_it_kept(link):
    with connected(link) as client:
        link.stall()
        client.sendall(b"are you there?")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(100)
        link.restore()
        client.settimeout(TIMEOUT_S)
        assert client.recv(100) == b""
    with connected(link):
        pass
