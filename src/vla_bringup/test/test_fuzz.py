"""`vla fuzz`: planted bugs are found, kept and found again; intact inputs are accepted."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from vla_bringup.cli import main
from vla_bringup.fuzzing.drawing import Draw
from vla_bringup.fuzzing.engines import ANSWERS, changed
from vla_bringup.fuzzing.errors import FuzzingError
from vla_bringup.fuzzing.formats import (
    Folder,
    json_document,
    pack,
    unpack,
    write_folder,
    yaml_document,
)
from vla_bringup.fuzzing.targets import TARGETS, subject_of, target_of
from vla_core.errors import VlaError

CHANGES = 6

PLANTED = '''
import os, signal
from vla_bringup.fuzzing.errors import AcceptedError
from vla_bringup.fuzzing.subject import Subject
from vla_core.errors import VlaError

class Commands:
    """Changes an input to one of a few words."""
    def __init__(self, words):
        self.words = words
    def change(self, data, draw, plain):
        return draw.one_of(self.words)

class Errors(Subject):
    suffix = ".word"
    format = Commands([b"key", b"two lines", b"accepted", b"much", b"refused", b"fine"])
    def seeds(self):
        return [b"intact"]
    def consume(self, data):
        if data == b"key":
            {}["planted"]
        if data == b"two lines":
            error = VlaError("one")
            error.args = ("one\\ntwo",)
            raise error
        if data == b"accepted":
            raise AcceptedError("planted")
        if data == b"much":
            bytearray(1 << 33)
        if data == b"refused":
            raise VlaError("no, thanks")

class Crash(Errors):
    format = Commands([b"crash"])
    def consume(self, data):
        if data == b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)

class Hang(Errors):
    format = Commands([b"hang"])
    def consume(self, data):
        while data == b"hang":
            pass

class Magic(Errors):
    from vla_bringup.fuzzing.formats import Bytes
    format = Bytes()
    def seeds(self):
        return [b"nothing here"]
    def consume(self, data):
        if data[:1] == b"V":
            if data[1:2] == b"L":
                if data[2:3] == b"A":
                    raise KeyError("planted")
'''


@pytest.fixture
def planted(tmp_path, monkeypatch):
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "planted.py").write_text(PLANTED)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))


def fuzz(out: Path, *arguments: str) -> tuple[int, dict]:
    """Exit code and the result of the one target."""
    path = out / "result.json"
    code = main(["fuzz", *arguments, "--out", str(out), "--json", str(path)])
    (result,) = json.loads(path.read_text())["targets"]
    return code, result


@pytest.mark.usefixtures("planted")
def test_planted_errors_are_found_kept_and_found_again(tmp_path, capsys):
    arguments = ("planted:Errors", "--engine", ANSWERS, "--minutes", "0.02", "--seed", "5")
    code, result = fuzz(tmp_path, *arguments)
    assert code == 1
    assert result["executions"] >= result["accepted"] + result["refused"] > 0
    assert (result["processes"], result["seed"], result["problem"]) == (1, 5, "")
    found = {finding["text"].partition(":")[0]: finding for finding in result["findings"]}
    kinds = {name: finding["kind"] for name, finding in found.items()}
    assert kinds == {
        "KeyError": "error",
        "VlaError": "error",
        "AcceptedError": "accepted",
        "MemoryError": "memory",
    }
    file = Path(found["KeyError"]["file"])
    assert file.read_bytes() == b"key"
    assert "KeyError: 'planted'" in file.with_name(file.name + ".txt").read_text()
    printed = capsys.readouterr().out
    assert f"vla fuzz --replay {file}" in printed
    assert main(["fuzz", "--replay", str(file)]) == 1
    assert "KeyError: 'planted'" in capsys.readouterr().out
    # Once it is mended, the same file is a proof of that.
    file.write_bytes(b"refused")
    assert main(["fuzz", "--replay", str(file)]) == 0
    assert "nothing is broken" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("subject", "kind", "text"),
    [("Crash", "crash", "ended by SIGSEGV"), ("Hang", "hang", "never came to an end")],
)
@pytest.mark.usefixtures("planted")
def test_what_ends_the_process_is_no_end_of_the_campaign(tmp_path, capsys, subject, kind, text):
    limits = ("--hang-s", "0.5")
    code, result = fuzz(
        tmp_path, f"planted:{subject}", "--engine", ANSWERS, "--minutes", "0.01", *limits
    )
    assert code == 1
    (finding,) = result["findings"]
    assert finding["kind"] == kind
    assert text in finding["text"]
    file = Path(finding["file"])
    assert file.read_bytes() == kind.encode()
    assert "in consume" in file.with_name(file.name + ".txt").read_text()
    if kind == "crash":
        assert main(["fuzz", "--replay", str(file), *limits]) == 1
        assert text in capsys.readouterr().out


@pytest.mark.usefixtures("planted")
def test_coverage_leads_to_what_chance_does_not(tmp_path):
    pytest.importorskip("atheris")
    code, result = fuzz(tmp_path, "planted:Magic", "--minutes", "0.1", "--seed", "1")
    assert code == 1
    assert result["coverage"]["edges"] > 3
    (finding,) = result["findings"]
    assert Path(finding["file"]).read_bytes()[:3] == b"VLA"


def test_without_atheris_the_remedy_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "atheris", None)
    assert main(["fuzz", "contract", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "pip install" in said
    assert "--engine answers" in said


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["contracts"], "target 'contracts' is unknown, expected some of bag-mcap"),
        (["vla_core.contract:Contract", "--engine", ANSWERS], "has no subject 'Contract'"),
        (["nowhere.at_all:It", "--engine", ANSWERS], "module nowhere is not installed"),
        (["--replay", "nothing.tar"], "its target is not known"),
        (["contract", "--replay", "nothing.tar"], "does not exist"),
    ],
)
def test_what_cannot_be_fuzzed_is_said(arguments, complaint, tmp_path, capsys):
    assert main(["fuzz", *arguments, "--out", str(tmp_path), "--minutes", "0.01"]) == 1
    assert complaint in capsys.readouterr().err


def test_targets_are_listed(capsys):
    assert main(["fuzz", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(f"| {name} |" in listed for name in TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_intact_inputs_are_accepted_and_changed_ones_at_most_refused(name, tmp_path):
    subject = subject_of(target_of(name))(tmp_path)
    try:
        seeds = subject.seeds()
        refused = 0
        for data in seeds:
            try:
                subject.consume(data)
            except VlaError:
                refused += 1
        assert refused < len(seeds) / 2 + 1, "most of what is intact has to get through"
        draw, seen = Draw(1), set()
        for _ in range(CHANGES):
            data = changed(draw.one_of(seeds), subject, draw, seeds)
            seen.add(data)
            with suppress(VlaError):
                subject.consume(data)
        assert len(seen) > 1
    finally:
        subject.close()


def test_the_same_seed_draws_the_same():
    data = json.dumps({"a": [1, {"b": "text"}], "c": None}).encode()

    def draws(seed):
        draw = Draw(seed)
        return [json_document().change(data, draw, draw.damaged_bytes) for _ in range(30)]

    assert draws(3) == draws(3)
    assert len(set(draws(3))) > 20
    assert draws(3) != draws(4)


def test_a_folder_is_changed_in_one_file_and_sealed_again(tmp_path):
    files = {"a.yaml": b"x: 1\n", "below/b.json": b"{}"}
    assert unpack(pack(files)) == files
    assert (write_folder(pack(files), tmp_path / "f") / "below" / "b.json").read_bytes() == b"{}"
    formats = {".yaml": yaml_document(), ".json": json_document()}
    folder = Folder(formats, seal=lambda files: {**files, "seal": b"!"})
    draw = Draw(0)
    changed_files = [
        unpack(folder.change(pack(files), draw, draw.damaged_bytes)) for _ in range(40)
    ]
    assert sum("seal" in each for each in changed_files) > 20
    for each in changed_files:
        assert sum(each.get(name) != content for name, content in files.items()) <= 1
    with pytest.raises(FuzzingError, match="relative paths"):
        unpack(pack({"../outside": b""}))
    with pytest.raises(FuzzingError, match="no tar archive"):
        unpack(b"nothing" * 200)
