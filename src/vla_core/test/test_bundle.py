import hashlib
import json
import shutil

import core_builders as cb
import numpy as np
import pytest

from vla_core import bundle as module
from vla_core.bundle import PolicyBundle, write_bundle
from vla_core.bundle_manifest import BundleManifest
from vla_core.contract import Contract
from vla_core.errors import BundleError, PolicyError
from vla_core.frames import FrameAssembler
from vla_core.language import Vocabulary
from vla_core.normalization import Statistics

CONTRACT = Contract.from_dict(cb.contract_dict())
STATISTICS = Statistics.from_arrays({"odometry": np.arange(8.0).reshape(4, 2)})
VOCABULARY = Vocabulary.from_sentences(["dock at the orange charger", "충전기"])
FIELDS = {
    "preset": "small",
    "datasets": ["demo"],
    "git_revision": "abc",
    "opset": 18,
    "parity_error": 3e-7,
    "evaluation": {"success_rate": 0.95},
    "training_seconds": 120.0,
}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "exported.onnx"
    path.write_bytes(b"a graph")
    return path


@pytest.fixture
def written(tmp_path, model):
    return write_bundle(tmp_path / "policy", model, CONTRACT, STATISTICS, VOCABULARY, FIELDS)


def edit_manifest(path, **changes):
    manifest = json.loads((path / "manifest.json").read_text())
    manifest.update(changes)
    (path / "manifest.json").write_text(json.dumps(manifest))


def error_of(path, **options) -> str:
    with pytest.raises(BundleError) as caught:
        PolicyBundle.load(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_bundle_comes_back_as_it_was_written(written, tmp_path):
    loaded = PolicyBundle.load(str(tmp_path / "policy"))
    assert loaded.contract == CONTRACT
    assert loaded.vocabulary == VOCABULARY
    assert loaded.statistics.to_json() == STATISTICS.to_json()
    assert loaded.model_path.read_bytes() == b"a graph"
    manifest = loaded.manifest
    assert manifest == written.manifest
    assert manifest.format_version == 1
    assert manifest.contract_hash == CONTRACT.hash
    assert (manifest.preset, manifest.opset, manifest.parity_error) == ("small", 18, 3e-7)
    assert manifest.datasets == ("demo",)
    assert manifest.evaluation == {"success_rate": 0.95}
    assert manifest.extra == {"training_seconds": 120.0}
    assert manifest.created.endswith("+00:00")
    assert manifest.files["policy.onnx"] == hashlib.sha256(b"a graph").hexdigest()
    assert {file.name for file in loaded.path.iterdir()} == {*manifest.files, "manifest.json"}


def test_a_bundle_may_be_moved(written, tmp_path):
    shutil.copytree(written.path, tmp_path / "elsewhere")
    assert PolicyBundle.load(tmp_path / "elsewhere").manifest == written.manifest


def test_files_may_be_links(written, tmp_path):
    """As in a workspace that was built with symlinks."""
    linked = tmp_path / "linked"
    linked.mkdir()
    for file in written.path.iterdir():
        (linked / file.name).symlink_to(file)
    assert PolicyBundle.load(linked).contract == CONTRACT


def test_missing_folder(tmp_path, model):
    assert "does not exist; give the folder that `vla export` wrote" in error_of(tmp_path / "none")
    assert "is no folder" in error_of(model)
    (tmp_path / "empty").mkdir()
    assert "manifest.json is missing" in error_of(tmp_path / "empty")


@pytest.mark.parametrize(
    "name", ["policy.onnx", "contract.yaml", "stats.json", "vocabulary.json", "manifest.json"]
)
def test_missing_and_damaged_files_are_named(written, name):
    data = (written.path / name).read_bytes()
    (written.path / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert name in error_of(written.path)
    (written.path / name).unlink()
    assert f"{name} is missing" in error_of(written.path)
    (written.path / name).mkdir()
    assert f"{name} cannot be read" in error_of(written.path)


def test_a_damaged_model_is_not_read_without_verification(written):
    (written.path / "policy.onnx").write_bytes(b"another graph")
    assert "policy.onnx is damaged or was changed" in error_of(written.path)
    assert PolicyBundle.load(written.path, verify=False).contract == CONTRACT


@pytest.mark.parametrize("version", [0, 2, None, "1", True])
def test_other_format_versions_are_refused(written, version):
    edit_manifest(written.path, format_version=version)
    assert f"format version {version!r}, this software reads 1" in error_of(written.path)


@pytest.mark.parametrize(
    "name", ["../policy.onnx", "/etc/passwd", "a/b", ".hidden", "", "..", "manifest.json", "a\\b"]
)
def test_files_outside_of_the_folder_are_refused(written, name):
    edit_manifest(written.path, files={**written.manifest.files, name: "0" * 64})
    assert "expected a plain name without a folder" in error_of(written.path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"files": []}, "files is no mapping"),
        ({"files": {}}, "does not list policy.onnx"),
        ({"contract_hash": "00"}, "contract_hash is no SHA-256"),
        ({"contract_hash": 5}, "contract_hash is no text"),
        ({"datasets": "demo"}, "datasets is no list"),
        ({"opset": "18"}, "opset is '18', expected a whole number"),
        ({"parity_error": float("nan")}, "parity_error is nan"),
        ({"evaluation": None}, "evaluation is no mapping"),
        ({"surprise": 1}, "unknown field 'surprise'"),
    ],
)
def test_malformed_manifests_are_refused(written, changes, expected):
    edit_manifest(written.path, **changes)
    assert expected in error_of(written.path)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "\xff", "[" * 100_000])
def test_manifests_that_are_no_mapping(written, text):
    (written.path / "manifest.json").write_text(text, encoding="latin-1")
    assert "manifest.json" in error_of(written.path)


def test_a_manifest_of_another_contract_is_refused(written):
    edit_manifest(written.path, contract_hash="0" * 64)
    assert "hash of contract.yaml is" in error_of(written.path)


@pytest.mark.parametrize("name", ["contract.yaml", "stats.json", "vocabulary.json"])
def test_files_that_are_whole_but_wrong_are_refused(written, name):
    (written.path / name).write_bytes(b"nonsense")
    digest = hashlib.sha256(b"nonsense").hexdigest()
    edit_manifest(written.path, files={**written.manifest.files, name: digest})
    assert error_of(written.path)


def test_a_contract_that_does_not_fit_is_refused_with_both_sides(written):
    written.check_contract(CONTRACT)
    values = cb.contract_dict()
    values["streams"][0]["topic"] = "front_camera"
    written.check_contract(Contract.from_dict(values))
    values["streams"][0]["decoder"].update(height_px=120, width_px=160)
    values["name"] = "other_robot"
    with pytest.raises(BundleError) as caught:
        written.check_contract(Contract.from_dict(values))
    message = str(caught.value)
    assert "stream 'image': shape (6, 8, 3) in the bundle, (120, 160, 3) live" in message
    assert "'test_robot'" in message
    assert "'other_robot'" in message


# Writing


def test_a_bundle_replaces_a_bundle(written, model, tmp_path):
    model.write_bytes(b"a better graph")
    again = write_bundle(written.path, model, CONTRACT, STATISTICS, VOCABULARY, {})
    assert again.model_path.read_bytes() == b"a better graph"
    assert again.manifest.preset == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported.onnx", "policy"]


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path, model):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "a" / "b"):
        assert write_bundle(folder, model, CONTRACT, STATISTICS, VOCABULARY).path == folder


def test_a_folder_with_something_else_is_left_alone(tmp_path, model):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("precious")
    for target in (tmp_path / "home", model):
        with pytest.raises(BundleError, match="exists and is no policy bundle"):
            write_bundle(target, model, CONTRACT, STATISTICS, VOCABULARY)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("step", ["_write_through", "_move_into_place"])
def test_a_failure_leaves_the_former_bundle(written, model, tmp_path, monkeypatch, step):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, step, fail)
    with pytest.raises(BundleError, match="No space left on device"):
        write_bundle(written.path, model, CONTRACT, STATISTICS, VOCABULARY, {"preset": "new"})
    assert PolicyBundle.load(written.path).manifest == written.manifest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported.onnx", "policy"]


def test_a_failing_rename_puts_the_former_bundle_back(written, model, tmp_path, monkeypatch):
    real = type(tmp_path).rename

    def fail_for_the_new_one(self, target):
        if self.name.endswith(".partial"):
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", fail_for_the_new_one)
    with pytest.raises(BundleError, match="Input/output error"):
        write_bundle(written.path, model, CONTRACT, STATISTICS, VOCABULARY, {"preset": "new"})
    assert PolicyBundle.load(written.path).manifest == written.manifest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported.onnx", "policy"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"files": {}}, "files cannot be set"),
        ({"contract_hash": "x", "format_version": 3}, "contract_hash, format_version cannot"),
        ({"opset": "18"}, "opset is '18'"),
        ({"evaluation": {"success": float("nan")}}, "bundle manifest: .*give plain numbers"),
        ({"note": np.zeros(2)}, "bundle manifest: .*give plain numbers"),
    ],
)
def test_fields_that_cannot_be_are_refused(tmp_path, model, fields, expected):
    with pytest.raises(BundleError, match=expected):
        write_bundle(tmp_path / "policy", model, CONTRACT, STATISTICS, VOCABULARY, fields)
    assert not (tmp_path / "policy").exists()


def test_further_files_travel_along(tmp_path, model):
    card = tmp_path / "card.md"
    card.write_text("# A policy")
    parts = (model, CONTRACT, STATISTICS, VOCABULARY)
    written = write_bundle(tmp_path / "policy", *parts, extra_files={"README.md": card})
    assert (written.path / "README.md").read_text() == "# A policy"
    for name in ("../card.md", "contract.yaml", "manifest.json", ".card"):
        with pytest.raises(BundleError, match="expected a plain name that is not taken"):
            write_bundle(tmp_path / "p2", *parts, extra_files={name: card})


def test_a_missing_graph_is_an_error(tmp_path):
    with pytest.raises(BundleError, match=r"nothing\.onnx"):
        write_bundle(
            tmp_path / "policy", tmp_path / "nothing.onnx", CONTRACT, STATISTICS, VOCABULARY
        )


def test_manifest_round_trip(written):
    text = written.manifest.to_json()
    assert BundleManifest.from_json(text, "bundle") == written.manifest


# Running


class Runtime:
    """Records what it is fed and answers with a fixed output."""

    def __init__(self, output):
        self.output = output
        self.feeds = None

    def __call__(self, feeds):
        self.feeds = feeds
        return self.output


def frame_of(keys=CONTRACT.keys):
    assembler = FrameAssembler(CONTRACT)
    for key in keys:
        assembler.push(key, 0, cb.readings(2.0)[key])
    return assembler.assemble(0)


def test_a_policy_feeds_the_graph_in_raw_units(written):
    runtime = Runtime(np.arange(20.0).reshape(1, 10, 2))
    policy = module.ChunkPolicy(written, runtime)
    chunk = policy(frame_of(["image", "odometry"]), "Dock at the orange thing")
    assert chunk.shape == (10, 2)
    assert chunk.dtype == np.float32
    assert chunk.tolist() == runtime.output[0].tolist()
    shapes = {name: (array.shape, str(array.dtype)) for name, array in runtime.feeds.items()}
    assert shapes == {
        "image": ((1, 6, 8, 3), "uint8"),
        "scan": ((1, 8), "float32"),
        "odometry": ((1, 2), "float32"),
        "valid": ((1, 3), "float32"),
        "instruction": ((1, 16), "int64"),
    }
    assert runtime.feeds["valid"].tolist() == [[1.0, 0.0, 1.0]]
    assert runtime.feeds["odometry"].tolist() == [[2.0, -2.0]]
    expected = VOCABULARY.encode("Dock at the orange thing")
    assert runtime.feeds["instruction"][0].tolist() == expected.tolist()
    policy(frame_of(), "충전기")
    assert runtime.feeds["instruction"][0].tolist() == VOCABULARY.encode("충전기").tolist()


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (np.zeros((10, 2)), r"got shape \(10, 2\), expected \(1, 10, 2\)"),
        (np.zeros((1, 9, 2)), r"got shape \(1, 9, 2\)"),
        (np.full((1, 10, 2), np.nan), "holds NaN or infinity"),
        (np.full((1, 10, 2), np.inf), "holds NaN or infinity"),
    ],
)
def test_outputs_that_are_no_chunk_are_refused(written, output, expected):
    with pytest.raises(PolicyError, match=expected):
        module.ChunkPolicy(written, Runtime(output))(frame_of(), "dock")


def test_frames_of_another_contract_are_refused(written):
    values = cb.contract_dict()
    values["streams"][1]["decoder"]["beams"] = 9
    frame = FrameAssembler(Contract.from_dict(values)).assemble(0)
    with pytest.raises(PolicyError, match=r"'scan': got \(9,\) float32, expected \(8,\) float32"):
        module.ChunkPolicy(written, Runtime(None))(frame, "dock")
    del frame.arrays["scan"]
    with pytest.raises(PolicyError, match="'scan': got nothing"):
        module.ChunkPolicy(written, Runtime(None))(frame, "dock")


@pytest.fixture
def with_variants(tmp_path, model):
    small = tmp_path / "small.onnx"
    small.write_bytes(b"a smaller graph")
    variants = {
        "int8-static": {"kept": True, "file": "policy_int8_static.onnx"},
        "fp16": {"kept": False, "reason": "takes 1.20 of the exact graph's time"},
    }
    return write_bundle(
        tmp_path / "policy",
        model,
        CONTRACT,
        STATISTICS,
        VOCABULARY,
        {**FIELDS, "variants": variants},
        {"policy_int8_static.onnx": small},
    )


def test_a_variant_is_loaded_by_its_name(with_variants):
    exact = PolicyBundle.load(with_variants.path)
    small = PolicyBundle.load(with_variants.path, variant="int8-static")
    assert (exact.variant, small.variant) == ("", "int8-static")
    assert exact.model_path.read_bytes() == b"a graph"
    assert small.model_path.read_bytes() == b"a smaller graph"


def test_a_variant_that_was_left_out_says_why(with_variants):
    message = error_of(with_variants.path, variant="fp16")
    assert "holds no variant 'fp16' (takes 1.20 of the exact graph's time)" in message
    assert "only int8-static" in message
    assert "holds no variant 'int4'" in error_of(with_variants.path, variant="int4")


def test_a_damaged_variant_is_found(with_variants):
    (with_variants.path / "policy_int8_static.onnx").write_bytes(b"another graph")
    assert "policy_int8_static.onnx is damaged" in error_of(with_variants.path)


@pytest.mark.parametrize(
    ("variants", "problem"),
    [
        ({"fp16": {}}, "does not say whether it was kept"),
        ({"fp16": {"kept": "yes"}}, "does not say whether it was kept"),
        ({"fp16": {"kept": True}}, "names no file"),
        ({"fp16": {"kept": True, "file": "../policy.onnx"}}, "names no file"),
        (["fp16"], "variants is no mapping"),
    ],
)
def test_variants_have_to_be_well_formed(written, variants, problem):
    edit_manifest(written.path, variants=variants)
    assert problem in error_of(written.path)
