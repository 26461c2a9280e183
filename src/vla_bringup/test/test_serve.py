"""`vla serve` as a process, and the client of openpi at its door."""

import signal
import urllib.request

import numpy as np
import pytest
from bundles import standing_bundle
from openpi_client.websocket_client_policy import WebsocketClientPolicy

from vla_bringup.resources import default_contract
from vla_core.contract import Contract
from vla_policy_node.inference.worker import blank_frame


def serving(vla, *arguments):
    """The process, and the address that it says."""
    server = vla("serve", *arguments, "--port", "0")
    server.wait_for(" on ws://")
    return server, server.output.split(" on ")[-1].splitlines()[0].strip()


@pytest.mark.filterwarnings("ignore:connect:DeprecationWarning")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_policy_is_served_until_a_signal(vla, tmp_path, ending):
    contract = Contract.load(default_contract())
    server, uri = serving(vla, standing_bundle(tmp_path, contract, (0.2, -0.1)))
    assert uri.startswith("ws://127.0.0.1:"), "loopback unless told otherwise"
    client = WebsocketClientPolicy(uri)
    assert client.get_server_metadata()["contract_hash"] == contract.hash
    answer = client.infer({**blank_frame(contract).arrays, "prompt": "dock"})
    np.testing.assert_allclose(answer["actions"], np.tile(np.float32([0.2, -0.1]), (10, 1)))
    with urllib.request.urlopen(uri.replace("ws:", "http:") + "/healthz") as health:
        assert health.status == 200
    server.signal(ending)
    assert server.wait() == 0
    assert server.orphans() == []
    assert server.errors == ""


def test_what_cannot_be_served_is_said_in_one_line(vla, tmp_path):
    server = vla("serve", tmp_path)
    assert server.wait() == 1
    (line,) = server.error_lines
    assert line.startswith("vla serve: error: policy bundle")
