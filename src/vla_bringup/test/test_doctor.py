"""The doctor: what it looks at, and what it calls missing."""

import json

import pytest

from vla_bringup import doctor, doctor_table
from vla_bringup.doctor import Finding, Status


def test_report_for_machines(vla):
    program = vla("doctor", "--json")
    code = program.wait(120)
    findings = {(f["group"], f["name"]): f for f in json.loads(program.output)}
    for key in (
        ("Python", "interpreter"),
        ("ROS 2", "route"),
        ("DDS", "domain"),
        ("Rendering", "OpenGL"),
        ("Libraries", "onnxruntime"),
        ("Machine", "disk"),
        ("Shipped", "contract"),
        ("Shipped", "policy"),
    ):
        assert key in findings
    missing = [f for f in findings.values() if f["status"] == "missing"]
    assert all(f["remedy"] for f in missing)
    assert code == (1 if missing else 0)
    assert missing == []


def test_what_is_missing_has_a_remedy(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "999")
    finding = next(f for f in doctor._domain() if f.name == "domain")
    assert finding.status is Status.MISSING
    assert "export ROS_DOMAIN_ID" in finding.found + finding.remedy


@pytest.mark.parametrize(("purpose", "status"), [("", Status.MISSING), ("x", Status.HINT)])
def test_optional_modules_are_hints(purpose, status):
    assert doctor._module("g", "no_such_module", "install it", purpose).status is status


def test_unset_discovery_range_is_a_hint(monkeypatch):
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE")
    finding = next(doctor._domain())
    assert finding.status is Status.HINT
    assert "LOCALHOST" in finding.remedy


def test_table_shows_remedies(capsys):
    findings = [
        Finding("A", "one", Status.OK, "fine"),
        Finding("A", "two", Status.MISSING, "not found", "install it"),
    ]
    doctor_table.print_findings(findings)
    text = capsys.readouterr().out
    assert "-> install it" in text
    assert "1 thing missing" in text
