"""Trains LeRobot's own ACT on made-up frames, step by step; runs in LeRobot's environment.

The first line of standard input is a JSON object: `image` (height, width), `state`, `environment`,
`action` (sizes), `horizon`, `batch_size`, `threads`, `precision` ("no" or "bf16"), `learning_rate`,
`weight_decay`, `clip_norm` and `model` (further fields of `ACTConfig`). It answers with one line:
`parameters` and `version`. Each further line asks for one optimizer step, and is answered when it
is done, with its `loss`. The step is that of LeRobot's training script.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch


def make_step(wanted: dict[str, Any]) -> tuple[Callable[[], float], int]:
    """One optimizer step on a batch that stays in memory, and the number of parameters."""
    # Where this project's packages are all imported, LeRobot is not installed.
    from accelerate import Accelerator
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.optim.optimizers import AdamWConfig
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.scripts.lerobot_train import update_policy
    from lerobot.utils.logging_utils import AverageMeter, MetricsTracker

    image = "observation.images.front"
    shapes = {
        image: (FeatureType.VISUAL, (3, *wanted["image"])),
        "observation.state": (FeatureType.STATE, (wanted["state"],)),
        "observation.environment_state": (FeatureType.ENV, (wanted["environment"],)),
    }
    horizon, size, count = wanted["horizon"], wanted["action"], wanted["batch_size"]
    config = ACTConfig(
        input_features={name: PolicyFeature(*feature) for name, feature in shapes.items()},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (size,))},
        chunk_size=horizon,
        n_action_steps=horizon,
        device="cpu",
        pretrained_backbone_weights=None,
        **wanted["model"],
    )
    policy = ACTPolicy(config)
    accelerator = Accelerator(cpu=True, mixed_precision=wanted["precision"])
    # Its own rates are 1e-5 for backbone and rest alike; a rate costs no time.
    optimizer = AdamWConfig(lr=wanted["learning_rate"], weight_decay=wanted["weight_decay"]).build(
        policy.get_optim_params()
    )
    policy, optimizer = accelerator.prepare(policy, optimizer)
    batch = {name: torch.randn(count, *shape) for name, (_, shape) in shapes.items()}
    batch["action"] = torch.randn(count, horizon, size)
    batch["action_is_pad"] = torch.zeros(count, horizon, dtype=torch.bool)
    meters = {name: AverageMeter(name) for name in ("loss", "grad_norm", "lr", "update_s")}
    tracker = MetricsTracker(count, count, 1, meters, accelerator=accelerator)

    def step() -> float:
        update_policy(
            tracker,
            policy,
            batch,
            optimizer,
            wanted["clip_norm"],
            accelerator=accelerator,
        )
        return float(tracker.loss.val)

    return step, sum(parameter.numel() for parameter in policy.parameters())


def main() -> None:
    """Serve steps until standard input ends."""
    wanted = json.loads(sys.stdin.readline())
    # Whatever LeRobot prints must not stand between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.manual_seed(0)
    torch.set_num_threads(wanted["threads"])
    step, parameters = make_step(wanted)

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    answer(parameters=parameters, version=version("lerobot"), torch=torch.__version__)
    for _ in sys.stdin:
        answer(loss=step())


if __name__ == "__main__":
    main()
