"""Answers observations with LeRobot's policy; runs in LeRobot's environment, not in ours.

The first line of standard input is a JSON object: `policy` (folder of `lerobot_training`),
`features`, `threads`. It answers with one line, `version`, when the policy is loaded. Each further
line is an observation: `image` (base64 of H x W x 3 bytes), `shape`, `state`, `environment`; the
answer is `actions`, the chunk.
"""

from __future__ import annotations

import base64
import json
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import torch


def main() -> None:
    """Serve until standard input ends."""
    # Where this project's packages are all imported, LeRobot is not installed.
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors

    wanted = json.loads(sys.stdin.readline())
    # Whatever LeRobot prints must not stand between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(wanted["threads"])
    policy = ACTPolicy.from_pretrained(wanted["policy"], local_files_only=True)
    policy.eval()
    before, after = make_pre_post_processors(policy.config, wanted["policy"])

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    answer(version=version("lerobot"))
    for line in sys.stdin:
        asked = json.loads(line)
        pixels = np.frombuffer(base64.b64decode(asked["image"]), np.uint8).reshape(asked["shape"])
        observation = {
            wanted["features"]["image"]: torch.tensor(pixels).permute(2, 0, 1) / 255.0,
            "observation.state": torch.tensor(asked["state"]),
            "observation.environment_state": torch.tensor(asked["environment"]),
        }
        with torch.no_grad():
            chunk = after(policy.predict_action_chunk(before(observation)))
        answer(actions=chunk[0].tolist())


if __name__ == "__main__":
    main()
