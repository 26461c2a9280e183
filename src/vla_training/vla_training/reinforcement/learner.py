"""The weights that learn from what was driven."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from vla_training.checkpoints import Checkpoint
from vla_training.errors import TrainingError
from vla_training.reinforcement.config import FinetuneConfig
from vla_training.reinforcement.driving import PRIVILEGED_SIZE
from vla_training.reinforcement.experience import Experience
from vla_training.reinforcement.exploring import make_noise
from vla_training.reinforcement.fused_policy import Critic, FusedPolicy, train_only
from vla_training.reinforcement.objective import clipped_share, sampled_divergence, surrogate
from vla_training.training_data import shard_seed

_ASKED_AT_ONCE: Final = 1024
_SMALLEST_SPREAD: Final = 1e-6
_ACTOR, _CRITIC = 0, 1


class Learner:
    """Policy, noise and value with their optimizers.

    Args:
        config: Of the run.
        initial: The policy that is begun with; also what it is to stay close to.
        device: That learns.
    """

    def __init__(self, config: FinetuneConfig, initial: Checkpoint, device: torch.device) -> None:
        self._config, self._ppo, self._device = config, config.ppo, device
        torch.manual_seed(config.seed)
        self._policy = initial.policy().to(device)
        self._fused = FusedPolicy(self._policy)
        reference = initial.policy().to(device)
        reference.requires_grad_(False)
        self._reference = FusedPolicy(reference)
        self.noise = make_noise(config, initial.contract, self._policy).to(device)
        knows = PRIVILEGED_SIZE if config.critic.knows == "privileged" else 0
        self._critic = Critic(self._fused.fused_size, knows, config.critic.hidden).to(device)
        self._knows = knows
        self._trained = train_only(self._policy, config.groups)
        if config.noise.learned:
            self._trained.append(self.noise.log_factor)
        self._optimizer = torch.optim.Adam(self._trained, lr=self._ppo.learning_rate)
        self._critic_optimizer = torch.optim.Adam(
            self._critic.parameters(), lr=self._ppo.critic_rate
        )

    def weights(self) -> dict[str, Tensor]:
        """The policy's, on the CPU."""
        return {
            name: value.detach().cpu().clone() for name, value in self._policy.state_dict().items()
        }

    def state(self) -> dict[str, Any]:
        """What `restore` needs, besides the policy's weights."""
        return {
            "critic": self._critic.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "critic_optimizer": self._critic_optimizer.state_dict(),
        }

    def restore(
        self, weights: dict[str, Tensor], noise: dict[str, Tensor], state: dict[str, Any]
    ) -> None:
        """Take over a state; the rest is computed from seed and iteration."""
        self._policy.load_state_dict(weights)
        self.noise.load_state_dict(noise)
        self._critic.load_state_dict(state["critic"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._critic_optimizer.load_state_dict(state["critic_optimizer"])

    def learn(self, experience: Experience, iteration: int) -> dict[str, float]:
        """Learn from an iteration; returns its figures.

        Args:
            experience: Driven by the weights as they are.
            iteration: Its number, from 0; decides the order of the samples.

        Raises:
            TrainingError: If a loss is no longer finite.
        """
        before = self._ask(experience)
        values = before["values"].cpu()
        advantages = experience.advantages(values, self._ppo.horizon_s, self._ppo.trace)
        acted = experience.acted.nonzero().squeeze(1)
        targets = (values + advantages).to(self._device)
        figures = self._fit_critic(experience, before["fused"], targets, acted, iteration)
        unexplained = advantages[acted].var() / targets.cpu()[acted].var().clamp(min=1e-12)
        figures["explained"] = 1.0 - float(unexplained)
        if iteration < self._ppo.warmup:
            return figures
        known = advantages[acted]
        known = (known - known.mean()) / known.std().clamp(min=_SMALLEST_SPREAD)
        advantages[acted] = known
        moved = self._fit_actor(experience, before, advantages.to(self._device), acted, iteration)
        return {**figures, **moved}

    @torch.no_grad()
    def _ask(self, experience: Experience) -> dict[str, Tensor]:
        """What policy, reference and value say to every state, before anything moves."""
        parts: dict[str, list[Tensor]] = defaultdict(list)
        for indices in torch.arange(len(experience)).split(_ASKED_AT_ONCE):
            inputs = self._inputs(experience, indices)
            answer = self._fused(inputs)
            chunks, scales = self._drawn(experience, indices)
            parts["fused"].append(answer.fused)
            parts["values"].append(self._critic(answer.fused, self._known(experience, indices)))
            parts["likelihood"].append(self.noise.log_likelihood(chunks, answer.chunk, scales))
            parts["reference"].append(self._reference(inputs).chunk)
        return {name: torch.cat(tensors) for name, tensors in parts.items()}

    def _fit_critic(
        self,
        experience: Experience,
        fused: Tensor,
        targets: Tensor,
        acted: Tensor,
        iteration: int,
    ) -> dict[str, float]:
        losses = []
        for indices in self._minibatches(acted, iteration, _CRITIC):
            places = indices.to(self._device)
            value = self._critic(fused[places], self._known(experience, indices))
            loss = functional.mse_loss(value, targets[places])
            self._critic_optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._critic_optimizer.step()
            losses.append(loss.item())
        return _checked({"value_loss": sum(losses) / len(losses)}, iteration)

    def _fit_actor(
        self,
        experience: Experience,
        before: dict[str, Tensor],
        advantages: Tensor,
        acted: Tensor,
        iteration: int,
    ) -> dict[str, float]:
        """Move the policy until it is as far from the one that drove as it may be."""
        sums: dict[str, float] = defaultdict(float)
        steps = 0
        for indices in self._minibatches(acted, iteration, _ACTOR):
            places = indices.to(self._device)
            chunks, scales = self._drawn(experience, indices)
            mean = self._fused(self._inputs(experience, indices)).chunk
            likelihood = self.noise.log_likelihood(chunks, mean, scales)
            log_ratio = likelihood - before["likelihood"][places]
            kl = sampled_divergence(log_ratio.detach()).item()
            if kl > self._ppo.largest_kl:
                break
            gain = surrogate(log_ratio, advantages[places], self._ppo.clip).mean()
            away = self.noise.divergence(mean, before["reference"][places], scales).mean()
            loss = self._ppo.reference_weight * away - gain
            loss = loss - self._ppo.entropy_weight * self.noise.log_factor.sum()
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            clip_grad_norm_(self._trained, self._ppo.clip_norm)
            self._optimizer.step()
            steps += 1
            for name, value in (
                ("policy_loss", loss.item()),
                ("reference_kl", away.item()),
                ("clipped", clipped_share(log_ratio.detach(), self._ppo.clip).item()),
                ("kl", kl),
            ):
                sums[name] += value
        figures = {name: value / max(1, steps) for name, value in sums.items()}
        return _checked({**figures, "policy_steps": float(steps)}, iteration)

    def _minibatches(self, acted: Tensor, iteration: int, who: int) -> Iterator[Tensor]:
        """Indices of the states in which something was done, in a new order in every epoch."""
        size = min(self._ppo.minibatch, len(acted))
        generator = torch.Generator().manual_seed(shard_seed(self._config.seed, iteration, who))
        for _ in range(self._ppo.epochs):
            order = acted[torch.randperm(len(acted), generator=generator)]
            # A rest would be a smaller sample with the same step.
            yield from order[: len(order) - len(order) % size].split(size)

    def _inputs(self, experience: Experience, indices: Tensor) -> dict[str, Tensor]:
        return {
            name: values[indices].to(self._device) for name, values in experience.inputs.items()
        }

    def _drawn(self, experience: Experience, indices: Tensor) -> tuple[Tensor, Tensor]:
        chunks, scales = experience.chunks[indices], experience.scales[indices]
        return chunks.to(self._device), scales.to(self._device)

    def _known(self, experience: Experience, indices: Tensor) -> Tensor:
        return experience.privileged[indices, : self._knows].to(self._device)


def _checked(figures: dict[str, float], iteration: int) -> dict[str, float]:
    if not all(map(math.isfinite, figures.values())):
        raise TrainingError(
            f"iteration {iteration} gave {figures}, expected finite numbers; lower "
            "ppo.learning_rate or ppo.critic_rate"
        )
    return figures
