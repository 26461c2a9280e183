from dataclasses import asdict

import numpy as np
import onnx
import pytest
import torch

from vla_core.bundle import PolicyBundle
from vla_training.checkpoints import load_checkpoint
from vla_training.dataset.windows import DockingDataset
from vla_training.errors import ExportError
from vla_training.evaluation.evaluate import evaluate
from vla_training.export import export_bundle
from vla_training.latency import Timing
from vla_training.onnx_graph import export_onnx, input_names
from vla_training.onnx_session import make_runner
from vla_training.variants import selection
from vla_training.variants.building import VARIANTS, Source, build_variant, heavy_nodes
from vla_training.variants.quantization_aware import fine_tune
from vla_training.variants.selection import Measurement, VariantOptions, choose, measure_variants

FLOAT16, INT8 = onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8


@pytest.fixture(scope="module")
def state(trained):
    return load_checkpoint(trained.checkpoint)


@pytest.fixture(scope="module")
def data(dataset, state):
    return DockingDataset(dataset, "training", state.vocabulary, storage="mapped")


@pytest.fixture(scope="module")
def built(state, data, tmp_path_factory):
    """Every variant of the tiny policy, and frames to compare them on."""
    folder = tmp_path_factory.mktemp("variants")
    policy = state.policy()
    batch = data.batch(torch.linspace(0, len(data) - 1, 24).long())
    frames = {name: batch[name].numpy() for name in input_names(policy)}
    exact, aware = folder / "exact.onnx", folder / "aware.onnx"
    export_onnx(policy, batch, exact)
    export_onnx(fine_tune(policy, data, 4, progress=False), batch, aware)
    source = Source(exact, aware, frames)
    paths = {name: folder / f"{name}.onnx" for name in VARIANTS}
    for name, path in paths.items():
        build_variant(name, source, path)
    return exact, paths, frames


def weight_types(path):
    return {item.data_type for item in onnx.load(path).graph.initializer if len(item.dims) > 1}


def test_variants_hold_the_numbers_that_they_say(built):
    exact, paths, _ = built
    assert not weight_types(exact) & {FLOAT16, INT8}
    assert FLOAT16 in weight_types(paths["fp16"])
    for name in ("int8-dynamic", "int8-static", "int8-qat"):
        assert INT8 in weight_types(paths[name]), name
    convolutions = [node for node in onnx.load(exact).graph.node if node.op_type == "Conv"]
    quantised = onnx.load(paths["int8-static"]).graph
    made_of = {output: node.op_type for node in quantised.node for output in node.output}
    inputs = [made_of[node.input[1]] for node in quantised.node if node.op_type == "Conv"]
    assert inputs == ["DequantizeLinear"] * len(convolutions)


def test_variants_compute_nearly_the_same_and_not_the_same(built, state):
    exact, paths, frames = built
    _, measured = measure_variants(exact, paths, frames, state.contract.action)
    errors = {name: item.error.max() for name, item in measured.items()}
    assert all(0.0 < error < 0.05 for error in errors.values()), errors
    assert errors["fp16"] < 0.005
    assert all((item.timing.ms > 0.0).all() for item in measured.values())


def test_variants_take_any_batch(built):
    _, paths, frames = built
    for name, path in paths.items():
        run = make_runner(path)
        whole = run(frames)
        single = np.concatenate(
            [run({k: v[i : i + 1] for k, v in frames.items()}) for i in range(24)]
        )
        # Ranges found at each inference are those of the whole batch.
        atol = 0.05 if name == "int8-dynamic" else 1e-3
        np.testing.assert_allclose(whole, single, atol=atol, err_msg=name)


def test_only_heavy_nodes_are_quantised():
    def weight(name, *shape):
        return onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name)

    def product(name, second):
        return onnx.helper.make_node("MatMul", ["x", second], [name], name=name)

    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Conv", ["x", "kernel"], ["a"], name="conv"),
            product("large", "wide"),
            product("small", "narrow"),
            product("of_activations", "x"),
        ],
        "graph",
        [],
        [],
        [weight("kernel", 4, 4, 3, 3), weight("wide", 400, 400), weight("narrow", 40, 40)],
    )
    assert heavy_nodes(onnx.helper.make_model(graph)) == ["conv", "large"]


def test_fine_tuning_leaves_plain_layers_on_the_grid_and_the_teacher_alone(state, data):
    policy = state.policy()
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    tuned = fine_tune(policy, data, 3, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())
    assert tuned.state_dict().keys() == before.keys()
    assert any(not torch.equal(v, before[name]) for name, v in tuned.state_dict().items())
    convolutions = [m for m in tuned.modules() if isinstance(m, torch.nn.Conv1d | torch.nn.Conv2d)]
    assert convolutions
    for layer in convolutions:
        weight = layer.weight.detach().flatten(1)
        steps = weight / (weight.abs().amax(1, keepdim=True).clamp(min=1e-8) / 127.0)
        torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0.0)


def timing(ms):
    return Timing(np.full((3, 4), float(ms)))


def error(share):
    return np.full((5, 10, 2), share)


def test_a_variant_has_to_be_faster_and_as_good():
    measured = {
        "slow": Measurement(timing(2.0), error(0.0)),
        "hardly": Measurement(timing(0.97), error(0.0)),
        "rough": Measurement(timing(0.5), error(0.03)),
        "good": Measurement(timing(0.5), error(0.01)),
    }
    entries = choose(timing(1.0), measured)
    assert {name for name, entry in entries.items() if entry["kept"]} == {"good"}
    assert entries["slow"]["reason"] == "takes 2.00 of the exact graph's time"
    assert "3.0 % of the range" in entries["rough"]["reason"]
    assert entries["good"]["latency_ratio"]["median"] == 0.5
    assert entries["good"]["decided_by"] == "action error"
    assert entries["good"]["action_error"] == {"mean": 0.01, "p99": 0.01, "max": 0.01}


def test_episodes_decide_where_there_are_any():
    measured = {
        "slow": Measurement(timing(2.0), error(0.0)),
        "rough": Measurement(timing(0.5), error(0.5)),
        "loses": Measurement(timing(0.5), error(0.0)),
    }
    asked = []

    def costs(names):
        asked.extend(names)
        return {
            "rough": {"cost_points": 2.0, "episodes": 50},
            "loses": {"cost_points": 6.0, "episodes": 50},
        }

    entries = choose(timing(1.0), measured, costs)
    assert asked == ["rough", "loses"]  # a slow one is not worth the episodes
    assert {name for name, entry in entries.items() if entry["kept"]} == {"rough"}
    assert entries["loses"]["reason"] == "costs 6.0 points of success in 50 episodes"
    assert entries["rough"]["decided_by"] == "paired episodes"
    assert entries["rough"]["episodes"]["cost_points"] == 2.0
    assert "episodes" not in entries["slow"]


def test_a_bundle_holds_what_was_kept(trained, tmp_path, monkeypatch):
    # Of a network this small, nothing is faster: keep what is less than ten times as slow.
    monkeypatch.setattr(selection, "MIN_GAIN", -9.0)
    options = VariantOptions(("int8-static", "fp16"), calibration_frames=8)
    bundle = export_bundle(
        trained.checkpoint, tmp_path / "bundle", parity_frames=40, variants=options
    )
    assert set(bundle.manifest.variants) == {"int8-static", "fp16"}
    for name, entry in bundle.manifest.variants.items():
        assert entry["kept"], entry
        chosen = PolicyBundle.load(bundle.path, variant=name)
        assert chosen.model_path.name == entry["file"]
        assert bundle.manifest.files[entry["file"]] == entry["sha256"]
        assert chosen.model_path.stat().st_size == entry["bytes"]
    report = evaluate(
        bundle.path, "single", 1, variant="int8-static", jobs=1, progress=False
    ).to_dict()
    assert report["variant"] == "int8-static"
    assert report["records"][0]["inferences"] > 10


def test_options_are_checked():
    with pytest.raises(ExportError, match=r"'int4' is unknown; choose of fp16, int8-dynamic"):
        VariantOptions(("int4",))
    with pytest.raises(ExportError, match=r"episodes is -1.*qat_steps is 0"):
        VariantOptions(episodes=-1, qat_steps=0)
    assert asdict(VariantOptions())["names"] == ()


def test_what_cannot_be_made_says_why(built, tmp_path):
    exact, _, frames = built
    with pytest.raises(ExportError, match="int8-qat needs a fine-tuned graph"):
        build_variant("int8-qat", Source(exact, None, frames), tmp_path / "x.onnx")
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    with pytest.raises(ExportError, match="variant fp16 cannot be made: "):
        build_variant("fp16", Source(tmp_path / "no.onnx", None, frames), tmp_path / "x.onnx")
