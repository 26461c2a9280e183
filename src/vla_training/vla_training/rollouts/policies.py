"""The policy that a rollout names."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vla_core.bundle import MODEL_FILE, VOCABULARY_FILE
from vla_core.contract import Contract
from vla_core.errors import VlaError
from vla_training.errors import RolloutError
from vla_training.evaluation.workers import is_checkpoint, load_any_policy
from vla_training.rollouts.options import PolicyChoice
from vla_training.run_keeper import CHECKPOINT_FILE


def choose_policy(path: Path, contract: Contract) -> PolicyChoice:
    """A policy, with what tells it from others.

    Args:
        path: Folder of a bundle, or a training checkpoint.
        contract: Of the data set, which the policy has to fit.

    Raises:
        VlaError: If the policy cannot be loaded or does not fit.
    """
    bundle = load_any_policy(str(path)).bundle
    differences = bundle.contract.differences(contract, "of the policy", "of the data set")
    if differences:
        raise RolloutError(
            f"policy {path} does not fit the data set: {'; '.join(differences)}; give its contract"
        )
    if is_checkpoint(str(path)):
        return PolicyChoice(str(path.absolute()), _digest_of(path))
    files = bundle.manifest.files
    identity = f"{files[MODEL_FILE]} {files[VOCABULARY_FILE]} {bundle.contract.hash}"
    return PolicyChoice(str(path.absolute()), hashlib.sha256(identity.encode()).hexdigest())


def _digest_of(checkpoint: Path) -> str:
    file = checkpoint / CHECKPOINT_FILE if checkpoint.is_dir() else checkpoint
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise VlaError(f"checkpoint {file} cannot be read: {error}; name another one") from error
