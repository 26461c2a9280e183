"""What the images are made of is there, and their health check knows a graph that runs."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml
from documentation import ROOT
from test_documented_commands import check
from test_documented_commands import vla as check_vla

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
SERVICES = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
STAGES = {
    name: (base, body)
    for base, name, body in re.findall(
        r"^FROM (\S+) AS (\w+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL
    )
}


def instructions(stage, name):
    """Arguments of one kind of instruction, those of the stages that it builds upon first."""
    base, body = STAGES[stage]
    joined = body.replace("\\\n", " ")
    own = re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)
    own += re.findall(rf"^HEALTHCHECK .* {name} (.*)$", joined, re.MULTILINE)
    return (instructions(base, name) if base in STAGES else []) + own


def test_there_are_the_four_images():
    assert {"robot", "train", "ci", "sim"} <= set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_nobody_is_root(stage):
    assert instructions(stage, "USER") == ["1001"]


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_copied_is_there(stage):
    ignored = (ROOT / ".dockerignore").read_text().split()
    for line in instructions(stage, "COPY"):
        *places, _ = (word for word in shlex.split(line) if not word.startswith("--"))
        for place in places:
            assert (ROOT / place).exists(), place
            assert place not in ignored


def test_entry_points_and_commands_are_there():
    for stage in STAGES:
        for line in instructions(stage, "ENTRYPOINT") + instructions(stage, "CMD"):
            words = yaml.safe_load(line)
            for word in words:
                file = word.removeprefix("/home/robot/vla/")
                if "/" in file:
                    assert (ROOT / file).is_file(), line
            if words[0] == "ros2":
                check(words)


@pytest.mark.parametrize("service", SERVICES)
def test_services_are_of_images_and_their_commands_are_accepted(service):
    description = SERVICES[service]
    while "extends" in description:
        description = {**SERVICES[description["extends"]], **description}
        description.pop("extends")
    target = description["build"]["target"]
    assert description["image"] == f"vla-docking:{target}"
    assert target in STAGES
    if "command" in description:
        words = [re.sub(r"\$\{\w+:-(.*?)\}", r"\1", word) for word in description["command"]]
        check(words) if target != "train" else check_vla(words)


def healthy(timeout_s):
    """Exit code and message of the health check."""
    script = str(ROOT / "docker" / "healthcheck.py")
    done = subprocess.run(
        [sys.executable, script, str(timeout_s)], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stderr


def test_health_is_that_of_the_graph(vla, bundle):
    code, says = healthy(1)
    assert code == 1
    assert "not active: " in says
    graph = vla("up", "dock", "sim:=none", f"policy:={bundle}")
    graph.wait_for("all active")
    assert healthy(60) == (0, "")
    graph.signal(2)
    assert graph.wait() == 130
    assert healthy(1)[0] == 1
