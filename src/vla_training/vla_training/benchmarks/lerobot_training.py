"""Trains LeRobot's ACT on an exported data set; runs in LeRobot's environment, not in ours.

Reads one JSON object from standard input: `root` (a LeRobotDataset), `episodes` (how many of the
first ones), `out`, `features` (the data set's name of `image`, `state` and `environment`),
`horizon`, `batch_size`, `workers`, `threads`, `precision` ("no" or "bf16"), `learning_rate`,
`pretrained` (begin with ImageNet's weights), `seed`, and the budget: `steps` or `seconds`, of steps
alone. The last line is the answer. What is in `out` goes on where it was.

Data set, policy, normalisation, optimizer and step are LeRobot's own; the loop ends by time, which
its script cannot.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

_REPOSITORY = "exported/frames"
_STATE = "training_state.pt"
_SAVE_S = 120.0


def main() -> None:
    """Train to the end of the budget."""
    wanted = json.loads(sys.stdin.read())
    # Whatever LeRobot prints must not be taken for the answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.manual_seed(wanted["seed"])
    torch.set_num_threads(wanted["threads"] or os.cpu_count() or 1)
    answers.write(json.dumps(train(wanted)) + "\n")


def train(wanted: dict[str, Any]) -> dict[str, Any]:
    """Train; returns what was found."""
    # Where this project's packages are all imported, LeRobot is not installed.
    from accelerate import Accelerator
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.scripts.lerobot_train import update_policy
    from lerobot.utils.logging_utils import AverageMeter, MetricsTracker

    features, horizon, size = wanted["features"], wanted["horizon"], wanted["batch_size"]
    root, out = Path(wanted["root"]), Path(wanted["out"])
    described = LeRobotDataset(_REPOSITORY, root=root, episodes=[0]).meta
    data = LeRobotDataset(
        _REPOSITORY,
        root=root,
        episodes=list(range(wanted["episodes"])),
        delta_timestamps={"action": [step / described.fps for step in range(horizon)]},
    )
    config = act_config(wanted, described.features)
    policy = ACTPolicy(config)
    stats = {_act_name(name, features): described.stats[features[name]] for name in features}
    before, after = make_pre_post_processors(
        config, dataset_stats={**stats, "action": described.stats["action"]}
    )
    accelerator = Accelerator(cpu=True, mixed_precision=wanted["precision"])
    optimizer = config.get_optimizer_preset().build(policy.get_optim_params())
    begun = {"step": 0, "seconds": 0.0}
    if (out / _STATE).is_file():
        state = torch.load(out / _STATE, weights_only=True)
        policy.load_state_dict(state["policy"])
        optimizer.load_state_dict(state["optimizer"])
        begun = state["begun"]
        torch.manual_seed(wanted["seed"] + begun["step"])
    loader = DataLoader(data, size, shuffle=True, num_workers=wanted["workers"], drop_last=True)
    policy, optimizer = accelerator.prepare(policy, optimizer)
    meters = {name: AverageMeter(name) for name in ("loss", "grad_norm", "lr", "update_s")}
    tracker = MetricsTracker(len(data), data.num_episodes, 1, meters, accelerator=accelerator)
    out.mkdir(parents=True, exist_ok=True)

    def keep(step: int, seconds: float) -> None:
        bare = accelerator.unwrap_model(policy)
        state = {
            "policy": bare.state_dict(),
            "optimizer": optimizer.state_dict(),
            "begun": {"step": step, "seconds": seconds},
        }
        torch.save(state, out / f"{_STATE}.partial")
        (out / f"{_STATE}.partial").replace(out / _STATE)

    step, seconds = int(begun["step"]), float(begun["seconds"])
    saved_s = time.monotonic()
    losses: list[float] = []
    batches = _endless(loader)
    while not _is_spent(wanted, step, seconds):
        started_s = time.monotonic()
        rows = next(batches)
        batch = {_act_name(name, features): rows[features[name]] for name in features}
        batch = before(batch | {name: rows[name] for name in ("action", "action_is_pad")})
        update_policy(
            tracker,
            policy,
            batch,
            optimizer,
            config.get_optimizer_preset().grad_clip_norm,
            accelerator=accelerator,
        )
        step += 1
        seconds += time.monotonic() - started_s
        losses = [*losses[-99:], float(tracker.loss.val)]
        if time.monotonic() - saved_s > _SAVE_S:
            saved_s = time.monotonic()
            keep(step, seconds)
            sys.stderr.write(
                f"step {step}, {seconds:.0f} s, loss {sum(losses) / len(losses):.4f}\n"
            )
            sys.stderr.flush()
    keep(step, seconds)
    bare = accelerator.unwrap_model(policy)
    bare.save_pretrained(out)
    before.save_pretrained(out)
    after.save_pretrained(out)
    return {
        "steps": step,
        "samples": step * size,
        "training_s": round(seconds, 2),
        "samples_per_s": round(step * size / max(seconds, 1e-9), 2),
        "loss": round(sum(losses) / max(1, len(losses)), 5),
        "parameters": sum(parameter.numel() for parameter in bare.parameters()),
        "frames": len(data),
        "version": version("lerobot"),
        "torch": torch.__version__,
    }


def act_config(wanted: dict[str, Any], described: dict[str, Any]) -> Any:
    """LeRobot's defaults, but for sizes of the data, chunk, optimizer and backbone's weights."""
    from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
    from lerobot.policies.act.configuration_act import ACTConfig

    kinds = {
        "image": FeatureType.VISUAL,
        "state": FeatureType.STATE,
        "environment": FeatureType.ENV,
    }
    inputs = {}
    for name, feature in wanted["features"].items():
        shape = tuple(described[feature]["shape"])
        if name == "image":
            height, width, channels = shape
            shape = (channels, height, width)
        inputs[_act_name(name, wanted["features"])] = PolicyFeature(kinds[name], shape)
    action = PolicyFeature(FeatureType.ACTION, tuple(described["action"]["shape"]))
    weights = {} if wanted["pretrained"] else {"pretrained_backbone_weights": None}
    return ACTConfig(
        input_features=inputs,
        output_features={"action": action},
        chunk_size=wanted["horizon"],
        n_action_steps=wanted["horizon"],
        device="cpu",
        optimizer_lr=wanted["learning_rate"],
        optimizer_lr_backbone=wanted["learning_rate"],
        # It leaves the scan, which it knows as the state of the environment, as it is by default.
        normalization_mapping=dict.fromkeys(
            ("VISUAL", "STATE", "ENV", "ACTION"), NormalizationMode.MEAN_STD
        ),
        **weights,
    )


def _act_name(name: str, features: dict[str, str]) -> str:
    """Under which name ACT looks for a feature."""
    names = {"state": "observation.state", "environment": "observation.environment_state"}
    return names.get(name, features["image"])


def _is_spent(wanted: dict[str, Any], step: int, seconds: float) -> bool:
    if wanted.get("steps") is not None:
        return step >= int(wanted["steps"])
    return seconds >= float(wanted["seconds"])


def _endless(loader: DataLoader) -> Iterator[dict[str, Any]]:
    while True:
        yield from loader


if __name__ == "__main__":
    main()
