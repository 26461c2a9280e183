"""`vla inspect`: finishes what a crash left and says what it did; tells how it was driven."""

import json
import shutil
import time

import pytest

from vla_bringup import cli
from vla_bringup.resources import default_contract
from vla_core.bag_metadata import JOURNAL_FILE
from vla_core.contract import Contract
from vla_recorder.bag_writer import BagWriter
from vla_recorder.message_definitions import MessageDefinitions, RecordedTopic
from vla_recorder.writer_settings import WriterSettings
from vla_training.benchmarks.long_bags import write_long_bag

MESSAGES = 20


@pytest.fixture
def unfinished(tmp_path):
    """A bag as it stands on the disk while it is written."""
    writer = BagWriter(tmp_path / "live", WriterSettings(), {"vla.instruction": "dock"})
    writer.add_topic(RecordedTopic("/site", MessageDefinitions().find("std_msgs/msg/String")))
    for stamp_ns in range(1, MESSAGES + 1):
        writer.write("/site", stamp_ns, b"\0\1\0\0\5\0\0\0hall\0")
    wait_until(lambda: writer.written_messages == MESSAGES)
    due_s = writer._next_flush_s
    wait_until(lambda: writer._next_flush_s > due_s)
    (tmp_path / "bags").mkdir()
    shutil.copytree(tmp_path / "live", tmp_path / "bags" / "cut")
    writer.finish({})
    assert writer.wait(10.0)
    return tmp_path / "bags" / "cut"


def wait_until(condition):
    deadline_s = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_repair_and_judge(unfinished, capsys):
    assert cli.main(["inspect", str(unfinished)]) == 1
    assert "--repair" in capsys.readouterr().out
    assert (unfinished / JOURNAL_FILE).exists()  # to look changes nothing
    assert cli.main(["inspect", str(unfinished.parent), "--repair"]) == 0
    shown = capsys.readouterr().out
    assert f"repaired {unfinished}: not closed by its recorder, {MESSAGES} messages saved" in shown
    assert "sound" in shown
    assert cli.main(["inspect", str(unfinished), "--repair", "--json"]) == 0
    (bag,) = json.loads(capsys.readouterr().out)["bags"]
    assert "repaired" not in bag  # it was done before
    assert bag["custom"]["vla.instruction"] == "dock"
    assert any("repaired" in warning for warning in bag["warnings"])


def test_pictures_and_how_it_was_driven(unfinished, tmp_path, capsys):
    contract = Contract.load(default_contract())
    write_long_bag(tmp_path / "bags" / "drive", contract, 2.0)
    folder = tmp_path / "pictures"
    arguments = ["inspect", str(tmp_path / "bags"), "--repair", "--picture", str(folder), "--json"]
    assert cli.main(arguments) == 0
    captured = capsys.readouterr()
    assert [path.name for path in folder.iterdir()] == ["drive.png"]
    assert (folder / "drive.png").read_bytes().startswith(b"\x89PNG")
    assert f"no picture of {unfinished}: name a contract" in captured.err
    driving = {bag["path"]: bag["driving"] for bag in json.loads(captured.out)["bags"]}
    assert driving[str(unfinished)] is None
    driven = driving[str(tmp_path / "bags" / "drive")]
    assert driven["commands"] == 40
    assert 0.0 <= driven["idle_fraction"] <= 1.0
    assert driven["problem"] == ""


def test_what_cannot_be_repaired_is_said(unfinished, capsys):
    file = next(unfinished.glob("*.mcap"))
    file.write_bytes(b"nothing of the kind")
    assert cli.main(["inspect", str(unfinished), "--repair", "--json"]) == 1
    captured = capsys.readouterr()
    assert "nothing can be saved" in captured.err
    assert not json.loads(captured.out)["ok"]
