"""The SROS2 policy: who may move the robot, and that the rest of the graph may do its work."""

import subprocess
import xml.etree.ElementTree as ElementTree

import pytest
from documentation import ROOT

from vla_bringup.graph import GRAPHS
from vla_bringup.resources import default_contract
from vla_core.contract import Contract

POLICY = ROOT / "src" / "vla_bringup" / "security" / "policy.xml"
SCRIPT = ROOT / "scripts" / "make_keystore.sh"
CONTRACT = Contract.load(default_contract())
COMMAND = CONTRACT.action.topic


def allowed(enclave, kind, attribute):
    """Names that an enclave may use in one way."""
    return {
        item.text
        for block in enclave.iter(f"{kind}s")
        if block.get(attribute) == "ALLOW"
        for item in block
    }


@pytest.fixture(scope="module")
def enclaves():
    root = ElementTree.parse(POLICY).getroot()
    return {enclave.get("path"): enclave for enclave in root.iter("enclave")}


def test_who_may_publish_commands(enclaves):
    publishers = {path for path, e in enclaves.items() if COMMAND in allowed(e, "topic", "publish")}
    # The table of docs/security.md says the same.
    assert publishers == {
        "/vla/vla_policy",
        "/vla/command_mux",
        "/vla/teleop",
        "/vla/docking_expert",
    }
    text = (ROOT / "docs" / "security.md").read_text()
    assert {line.split("`")[1] for line in text.splitlines() if line.startswith("| `/vla/")} == (
        publishers
    )


def test_nothing_is_allowed_by_pattern(enclaves):
    for path, enclave in enclaves.items():
        for item in enclave.iter():
            assert "*" not in (item.text or ""), path
            assert "DENY" not in item.attrib.values(), "a denial would hide a missing permission"


def test_only_the_manager_changes_states(enclaves):
    callers = {
        path
        for path, enclave in enclaves.items()
        if any(name.endswith("/change_state") for name in allowed(enclave, "service", "request"))
    }
    assert callers == {"/vla/lifecycle_manager"}


def test_every_node_of_the_graphs_has_an_enclave(enclaves):
    graphs = [
        GRAPHS["dock"].from_values(
            {"instruction": "x", "record": "true", "teleop": "true", "rviz": "true"}
        )[0],
        GRAPHS["record"].from_values({})[0],
    ]
    manager = enclaves["/vla/lifecycle_manager"]
    for spec in {spec.name: spec for graph in graphs for spec in graph.nodes}.values():
        enclave = enclaves[f"/vla/{spec.name}"]
        assert next(profile.get("node") for profile in enclave.iter("profile")) == spec.name
        if spec.lifecycle:
            assert "~/change_state" in allowed(enclave, "service", "reply")
            for service in ("change_state", "get_state"):
                assert f"{spec.name}/{service}" in allowed(manager, "service", "request")


def test_the_policy_hears_what_its_contract_names(enclaves):
    heard = allowed(enclaves["/vla/vla_policy"], "topic", "subscribe")
    assert {stream.topic for stream in CONTRACT.streams} <= heard
    recorded = allowed(enclaves["/vla/vla_recorder"], "topic", "subscribe")
    assert {*(stream.topic for stream in CONTRACT.streams), COMMAND} <= recorded


def test_keys_are_never_replaced(tmp_path):
    (tmp_path / "ca.key.pem").touch()
    done = subprocess.run([SCRIPT, tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    assert subprocess.run([SCRIPT], capture_output=True).returncode == 2
