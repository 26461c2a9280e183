"""The programs and files that the documentation shows, run and read as they stand."""

import os
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import yaml
from documentation import PAGES, ROOT, blocks

from vla_bringup.cli import main
from vla_bringup.resources import default_policy
from vla_policy_node.docking.dock_database import DockDatabase
from vla_training.sweep_config import load_sweep

PROGRAMS = [
    (f"{page.relative_to(ROOT)}:{number}", code)
    for page in PAGES
    for number, code in enumerate(blocks(page, "python"))
]
# What the programs of others need, or end with Ctrl-C.
NOT_RUN = {"docs/lerobot.md:0": "LeRobot", "src/vla_policy_node/README.md:0": "Ctrl-C"}
# Program to the argument that it is to be called with.
ARGUMENTS = {"docs/formats.md:1": "out/policy"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as the tutorial leaves it: a small data set, a policy."""
    path = tmp_path_factory.mktemp("reader")
    looks = ["--episodes", "4", "--starts", "path", "--looks", "4", "--duration", "1"]
    data = path / "out" / "demonstrations.h5"
    split = ["--validation-fraction", "0.25", "--test-fraction", "0"]
    assert main(["rollout", "--out", str(data), *looks, *split, "--workers", "1", "--json"]) == 0
    shutil.copytree(default_policy(), path / "out" / "policy")
    return path


@pytest.mark.parametrize(("name", "code"), PROGRAMS, ids=[name for name, _ in PROGRAMS])
def test_program_runs(name, code, folder):
    compile(code, name, "exec")
    if name in NOT_RUN:
        return
    argument = ARGUMENTS.get(name, "out/demonstrations.h5")
    done = subprocess.run(
        [sys.executable, "-c", code, argument],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout or "print(" not in code


def test_what_is_not_run_is_there():
    assert {*NOT_RUN, *ARGUMENTS} <= {name for name, _ in PROGRAMS}


def test_settings_are_read(tmp_path):
    """Files in YAML, by what reads them; another program's for their form alone."""
    read = set()
    for page in PAGES:
        for number, text in enumerate(blocks(page, "yaml")):
            path = tmp_path / f"{page.stem}_{number}.yaml"
            path.write_text(text)
            content = yaml.safe_load(text)
            assert isinstance(content, dict), text
            if "docks" in content:
                assert DockDatabase.load(str(path))
                read.add("docks")
            if "trials" in content:
                assert load_sweep(path).trials == content["trials"]
                read.add("sweep")
    assert read == {"docks", "sweep"}


def test_xml_is_well_formed():
    found = [text for page in PAGES for text in blocks(page, "xml")]
    assert found
    for text in found:
        ElementTree.fromstring(text)
