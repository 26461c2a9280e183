"""Fine-tuning a policy under the rounding of INT8, so that it loses less by it.

The float policy is the teacher: the student, whose convolutions and large matrices are rounded as
ONNX Runtime will round them, learns to give the teacher's actions on training frames. That needs
no labels and works for every head. Rounding passes gradients straight through (Bengio et al.,
2013); what comes out is a float policy whose quantised graph is closer to the original.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from vla_core import keys
from vla_training.dataset.sampling import ShuffledBatches
from vla_training.dataset.windows import DockingDataset
from vla_training.errors import ExportError
from vla_training.models import Policy
from vla_training.progress import progress_bar
from vla_training.variants.building import LARGE_MATRIX

_BATCH_SIZE: Final = 64
_LEARNING_RATE: Final = 1e-4
_CLIP_NORM: Final = 1.0
_OBSERVED_STEPS: Final = 20
"""Steps that only find the ranges of activations, before anything is rounded."""
_BETA: Final = 0.05


def fine_tune(
    policy: Policy, data: DockingDataset, steps: int, *, seed: int = 0, progress: bool = True
) -> Policy:
    """A copy of a policy that was trained under INT8 rounding.

    Args:
        policy: In evaluation mode; stays as it is.
        data: Frames to train on.
        steps: Optimizer steps.
        seed: Order of the frames.
        progress: Whether to show a bar.

    Returns:
        The copy, without anything that rounds, in evaluation mode.

    Raises:
        ExportError: If the loss is no longer finite.
    """
    # Evaluation mode throughout: dropout would only be noise beside the rounding.
    student = copy.deepcopy(policy).eval()
    rounding = _Rounding(student)
    optimizer = torch.optim.AdamW(
        [weight for weight in student.parameters() if weight.requires_grad],
        _LEARNING_RATE,
        weight_decay=0.0,
    )
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=max(1, steps))
    shuffle = ShuffledBatches(len(data), _BATCH_SIZE, seed)
    names = (*policy.stream_keys, keys.VALID, keys.INSTRUCTION)
    with progress_bar("fine-tuning under INT8", _OBSERVED_STEPS + steps, progress) as bar:
        for step in range(_OBSERVED_STEPS + steps):
            batch = data.batch(shuffle.indices(step))
            inputs = [batch[name] for name in names]
            rounding.active = step >= _OBSERVED_STEPS
            with torch.no_grad():
                wanted = policy(*inputs)
            if not rounding.active:
                with torch.no_grad():
                    student(*inputs)
                bar.advance()
                continue
            error = (student(*inputs) - wanted) / policy.action_spread
            loss = functional.smooth_l1_loss(error, torch.zeros_like(error), beta=_BETA)
            if not torch.isfinite(loss):
                raise ExportError(f"fine-tuning under INT8: the loss is {loss.item()}")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), _CLIP_NORM)
            optimizer.step()
            schedule.step()
            bar.advance(f"loss {loss.item():.5f}")
    rounding.remove()
    return student


class _Rounding:
    """Makes a policy's heavy layers compute as their quantised nodes will.

    Attributes:
        active: Round; otherwise only watch the activations.
    """

    def __init__(self, policy: nn.Module) -> None:
        self.active = False
        self._layers = [layer for layer in policy.modules() if _is_heavy(layer)]
        self._handles = []
        for layer in self._layers:
            parametrize.register_parametrization(layer, "weight", _RoundedWeight(self))
            before, after = _Range(self), _Range(self)
            self._handles += [
                layer.register_forward_pre_hook(_on_input(before)),
                layer.register_forward_hook(_on_output(after)),
            ]

    def remove(self) -> None:
        """Leave plain layers behind; their weights are where rounding puts them."""
        for handle in self._handles:
            handle.remove()
        for layer in self._layers:
            parametrize.remove_parametrizations(layer, "weight")


def _is_heavy(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Linear):
        return layer.weight.numel() >= LARGE_MATRIX
    return isinstance(layer, nn.Conv1d | nn.Conv2d)


class _RoundedWeight(nn.Module):
    """INT8 per output channel, symmetric."""

    def __init__(self, rounding: _Rounding) -> None:
        super().__init__()
        self._rounding = rounding

    def forward(self, weight: Tensor) -> Tensor:
        if not self._rounding.active:
            return weight
        scale = weight.detach().flatten(1).abs().amax(1).clamp(min=1e-8) / 127.0
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)


class _Range:
    """The range of an activation, as calibration finds it: the widest seen, with 0 inside."""

    def __init__(self, rounding: _Rounding) -> None:
        self._rounding = rounding
        self._low, self._high = 0.0, 0.0

    def __call__(self, values: Tensor) -> Tensor:
        if not self._rounding.active:
            self._low = min(self._low, float(values.min()))
            self._high = max(self._high, float(values.max()))
            return values
        scale = max(self._high - self._low, 1e-8) / 255.0
        return torch.fake_quantize_per_tensor_affine(
            values, scale, min(255, max(0, round(-self._low / scale))), 0, 255
        )


def _on_input(observed: _Range) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    return lambda layer, inputs: (observed(inputs[0]), *inputs[1:])


def _on_output(observed: _Range) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    return lambda layer, inputs, output: observed(output)
