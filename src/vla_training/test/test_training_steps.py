"""How a step is computed: precision, micro-batches, recomputed activations, rate, compiling."""

import dataclasses
import functools
import json
import math

import pytest
import torch
from tiny_runs import tiny_config

from vla_training.checkpoints import load_checkpoint
from vla_training.distribution import blocks
from vla_training.optimization import WeightAverage, make_schedule, one_cycle, warm_cosine
from vla_training.trainer import Trainer, train
from vla_training.training_config import OptimizerConfig
from vla_training.training_data import TrainingData


def gradients(trainer: Trainer, batch) -> dict[str, torch.Tensor]:
    """Of one batch, with dropout drawn from the same state."""
    torch.manual_seed(5)
    trainer._module.train()
    loss, _ = trainer._module(batch)
    loss.backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in trainer._state.policy.named_parameters()
        if parameter.grad is not None
    }


def test_a_step_sees_the_mean_over_its_micro_batches(dataset, tmp_path):
    # Of a horizon of one step, every sample knows its action: all micro-batches weigh the same.
    options = ("steps=1", "batch_size=12", "shards=6", "model.head.horizon=1")
    options += ("model.fusion.dropout=0.0",)
    moments = []
    for count in (1, 3):
        config = tiny_config(dataset, tmp_path / str(count), *options, f"accumulate={count}")
        checkpoint = load_checkpoint(train(config, progress=False).checkpoint)
        moments.append(checkpoint.trainer["optimizer"]["state"])
    whole, parts = moments
    assert any(state["exp_avg"].abs().max() > 1e-3 for state in whole.values())
    for number, state in whole.items():
        # After one step the first moment is a tenth of the clipped gradient.
        torch.testing.assert_close(parts[number]["exp_avg"], state["exp_avg"], atol=1e-7, rtol=1e-4)


def test_any_division_of_a_batch_has_the_same_samples(dataset, tmp_path):
    base = tiny_config(dataset, tmp_path, "shards=4", "batch_size=12")

    def batches(accumulate: int, processes: int) -> dict[str, torch.Tensor]:
        config = dataclasses.replace(base, accumulate=accumulate)
        cpu = torch.device("cpu")
        data = [TrainingData(config, cpu, processes, rank) for rank in range(processes)]
        parts = [of.batch(7 * accumulate + i) for of in data for i in range(accumulate)]
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}

    whole = batches(1, 1)
    assert len(whole["action"]) == 12
    for division in ((2, 1), (4, 1), (1, 2), (2, 2), (1, 4)):
        for key, value in batches(*division).items():
            assert torch.equal(value, whole[key]), (division, key)


def test_recomputed_activations_give_the_same_gradients(dataset, tmp_path):
    found = []
    for name in ("false", "true"):
        config = tiny_config(dataset, tmp_path / name, f"checkpoint_activations={name}")
        trainer = Trainer(config)
        found.append(gradients(trainer, trainer._batches.batch(0)))
    kept, recomputed = found
    assert kept.keys() == recomputed.keys()
    assert max(value.abs().max() for value in kept.values()) > 0.0
    for name, value in kept.items():
        assert torch.equal(recomputed[name], value), name


def test_recomputing_keeps_less(dataset, tmp_path):
    kept_bytes = []
    for name in ("false", "true"):
        config = tiny_config(dataset, tmp_path / name, f"checkpoint_activations={name}")
        trainer = Trainer(config)
        assert blocks(trainer._module)
        kept: dict[int, int] = {}

        def note(tensor, kept=kept):
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            trainer._module(trainer._batches.batch(0))
        kept_bytes.append(sum(kept.values()))
    assert kept_bytes[1] < 0.8 * kept_bytes[0]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_has_nearly_the_gradients_of_single(dataset, tmp_path, precision):
    found = []
    for name in ("float32", precision):
        trainer = Trainer(tiny_config(dataset, tmp_path / name, f"precision={name}"))
        found.append(gradients(trainer, trainer._batches.batch(0)))
    whole, half = (torch.cat([g.flatten() for g in all_.values()]) for all_ in found)
    assert not torch.equal(half, whole)
    assert torch.nn.functional.cosine_similarity(half, whole, dim=0) > 0.999


def test_fp16_scales_gradients_and_leaves_out_a_step_that_overflows(dataset, tmp_path):
    config = tiny_config(dataset, tmp_path, "precision=fp16", "steps=3", "validation_samples=8")
    trainer = Trainer(config)
    # 2^16 at the start; this much overflows fp16 in the backward pass.
    trainer._state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = trainer._state.weights()
    trainer.run(progress=False, stop_after=1)
    after = load_checkpoint(tmp_path).trainer
    assert after["scaler"]["scale"] == 2.0**39
    for name, value in before.items():
        assert torch.equal(after["weights"][name], value), name
    # The scale goes on from there in a resumed run.
    resumed = Trainer(config, resume=True)
    assert resumed._state.scaler.get_scale() == 2.0**39


def test_fp16_resumes_to_the_same_bits(dataset, tmp_path):
    config = tiny_config(
        dataset, tmp_path / "whole", "precision=fp16", "steps=4", "validation_samples=8"
    )
    whole = load_checkpoint(train(config, progress=False).checkpoint)
    config = dataclasses.replace(config, output=str(tmp_path / "halves"))
    Trainer(config).run(progress=False, stop_after=2)
    halves = load_checkpoint(train(config, resume=True, progress=False).checkpoint)
    assert all(torch.equal(halves.weights[name], value) for name, value in whole.weights.items())
    assert halves.trainer["scaler"] == whole.trainer["scaler"]
    assert whole.trainer["scaler"]["scale"] > 1.0


@pytest.mark.parametrize("steps", [1, 7, 200])
def test_the_cosine_rises_along_a_line_and_falls_to_nothing(steps):
    config = OptimizerConfig(learning_rate=0.2, schedule="cosine", warmup=0.25)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    schedule = make_schedule(optimizer, config, steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    top = max(1, round(0.25 * steps)) - 1
    assert rates[top] == pytest.approx(0.2)
    assert rates[: top + 1] == pytest.approx([0.2 * (i + 1) / (top + 1) for i in range(top + 1)])
    assert all(a > b for a, b in zip(rates[top:], rates[top + 1 :], strict=False))
    if steps == 200:
        middle = (top + steps) // 2
        assert rates[middle] == pytest.approx(0.1, abs=0.002)
        assert 0.0 < rates[-1] < 1e-4


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.15), (2, 0.5), (10, 0.1), (300, 0.15)])
def test_one_cycle_is_that_of_torch(steps, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    shares = [one_cycle(step, steps, warmup) for step in range(steps)]
    assert all(0.0 < share <= 1.0 for share in shares)
    if steps * warmup <= 1.0:  # of which torch makes 0 / 0, or the least rate
        assert shares[0] == 1.0
        return
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.2, total_steps=steps, pct_start=warmup, cycle_momentum=False
    )
    for share in shares:
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2 * share, abs=1e-12)
        optimizer.step()
        if schedule.last_epoch < steps - 1:
            schedule.step()


@pytest.mark.parametrize("name", ["onecycle", "cosine"])
def test_a_run_has_the_rate_of_its_schedule(dataset, tmp_path, name):
    options = (f"optimizer.schedule={name}", "steps=4", "optimizer.warmup=0.5")
    config = tiny_config(dataset, tmp_path, *options, "validate_every=1", "validation_samples=4")
    train(config, progress=False)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    peak, shares = config.optimizer.learning_rate, {"onecycle": one_cycle, "cosine": warm_cosine}
    # Logged is the rate of the step to come.
    for record in records[:-1]:
        expected = peak * shares[name](record["step"], 4, 0.5)
        assert record["learning_rate"] == pytest.approx(expected)


def test_the_average_follows_the_weights_and_forgets_the_first_soon():
    module = torch.nn.Linear(2, 1)
    average = WeightAverage(module, decay=0.9)
    expected = None
    for count in range(30):
        with torch.no_grad():
            module.weight.fill_(math.sin(count))
        average.update()
        share = min(0.9, (1.0 + count) / (10.0 + count))
        expected = (
            math.sin(count)
            if expected is None
            else share * expected + (1.0 - share) * math.sin(count)
        )
        assert average.weights()["weight"][0, 0].item() == pytest.approx(expected, abs=1e-6)
    again = WeightAverage(module, decay=0.9)
    again.restore(average.weights(), average.updates)
    assert again.updates == 30
    assert torch.equal(again.weights()["weight"], average.weights()["weight"])


def test_a_compiled_step_has_the_same_gradients(dataset, tmp_path, monkeypatch):
    # What is traced, forward and backward, without the minute that the C++ compiler takes.
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", functools.partialmethod(compile_module, backend="aot_eager")
    )
    options = ("model.fusion.dropout=0.0", "steps=2", "validation_samples=8")
    plain = Trainer(tiny_config(dataset, tmp_path / "plain", *options))
    batch = plain._batches.batch(0)
    expected = gradients(plain, batch)
    config = tiny_config(dataset, tmp_path / "compiled", *options, "compile=true")
    compiled = Trainer(config)
    assert compiled._module._compiled_call_impl is not None
    for name, value in gradients(compiled, batch).items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-3, msg=name)
    # What is saved does not know that it was compiled.
    assert compiled._checkpoint().weights.keys() == plain._checkpoint().weights.keys()
