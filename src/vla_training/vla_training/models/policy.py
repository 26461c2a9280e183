"""A policy: camera, scan, odometry and an instruction in, a chunk of actions out.

Built from parts that its configuration chooses. Inputs and outputs are raw SI units; normalisation
lives in buffers of the module, so that the exported graph is complete.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vla_core import keys
from vla_core.contract import Contract, StreamSpec
from vla_core.contract_specs import ImageDecoder, ScanDecoder
from vla_core.language import Vocabulary
from vla_core.normalization import Statistics
from vla_training.configuration import bounded
from vla_training.models.fusion import FusionConfig, build_fusion
from vla_training.models.heads import HeadConfig, build_head
from vla_training.models.heads.base import small_linear
from vla_training.models.language import LanguageConfig, build_language
from vla_training.models.odometry import OdometryEncoder
from vla_training.models.scan import ScanEncoderConfig, build_scan_encoder
from vla_training.models.vision import ImageEncoder, VisionConfig
from vla_training.models.vision.pointer import Pointing

POSE_SIZE = 4


@dataclass(frozen=True)
class PolicyConfig:
    """The parts of a policy and their sizes.

    Attributes:
        vision: Of each camera.
        language: Of the instruction.
        scan: Of each scanner.
        fusion: Of all tokens.
        head: Of the actions.
        width: Size D of a token.
        condition: Size C of the vector that the instruction becomes.
    """

    vision: VisionConfig = field(default_factory=VisionConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    scan: ScanEncoderConfig = field(default_factory=ScanEncoderConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    width: int = bounded(128, 8, 4096)
    condition: int = bounded(64, 4, 4096)

    def __post_init__(self) -> None:
        if self.fusion.kind != "mlp" and self.width % self.fusion.heads:
            raise ValueError(
                f"width {self.width} is not divisible by fusion.heads {self.fusion.heads}"
            )


@dataclass(frozen=True)
class PolicyOutput:
    """What one forward pass predicts in training.

    Attributes:
        act: Makes actions of the answers.
        answers: (B, h, D) float32: what the head made them of, for the h steps that it predicts.
        dock_pose: (B, 4) float32: x [m], y [m], sin yaw, cos yaw of the commanded station in the
            base frame.
        docked: (B,) float32, logit of standing docked at the commanded station.
        kl: (B,) float32 [nat]: what the head's latent tokens were told about the actions; None
            where it was told nothing.
        pointing: What the instruction points at in the first camera; None if the policy does not
            point.
    """

    act: Callable[[Tensor], Tensor]
    answers: Tensor
    dock_pose: Tensor
    docked: Tensor
    kl: Tensor | None = None
    pointing: Pointing | None = None

    @property
    def actions(self) -> Tensor:
        """(B, H, A) float32, [m/s, rad/s]; made when asked for, since few losses need them."""
        return self.act(self.answers)


class Policy(nn.Module):
    """An encoder per stream, the instruction, their fusion, and heads on its answers.

    Args:
        config: Parts and sizes.
        contract: Gives the streams, the action and the chunk length.
        statistics: Normalisation.
        vocabulary: The words of the instructions.

    Raises:
        ConfigurationError: If the configuration does not fit the contract.
    """

    action_center: Tensor
    action_spread: Tensor

    def __init__(
        self,
        config: PolicyConfig,
        contract: Contract,
        statistics: Statistics,
        vocabulary: Vocabulary,
    ) -> None:
        super().__init__()
        self.stream_keys = contract.keys
        self.action_fields = contract.action.fields
        width = config.width
        actions = statistics.field(keys.ACTION)
        center, spread = actions.center_and_spread()
        self.register_buffer("action_center", torch.from_numpy(center))
        self.register_buffer("action_spread", torch.from_numpy(spread))
        self.language = build_language(config.language, vocabulary, config.condition)
        self.encoders = nn.ModuleDict(
            {stream.key: _build_encoder(config, stream, statistics) for stream in contract.streams}
        )
        self.conditioned = frozenset(
            stream.key for stream in contract.streams if isinstance(stream.decoder, ImageDecoder)
        )
        self.instruction_token = nn.Linear(config.condition, width)
        self.tokens = {key: int(encoder.tokens) for key, encoder in self.encoders.items()}  # type: ignore[arg-type]
        observed = sum(self.tokens.values())
        self.missing = nn.Parameter(torch.randn(observed, width) * 0.02)
        limits = self.normalize(torch.tensor([contract.action.low, contract.action.high]))
        self.head = build_head(
            config.head, width, contract.action.size, contract.action.chunk_length, limits
        )
        # The last answer is about the station, the others about the actions of the chunk.
        self._half_fusion = config.fusion.half
        self.fusion = build_fusion(
            config.fusion,
            width,
            tokens=observed + 1 + self.head.extra_tokens,
            answers=self.head.sizes.horizon + 1,
        )
        self.pose_head = small_linear(width, POSE_SIZE)
        self.docked_head = small_linear(width, 1)

    def normalize(self, actions: Tensor) -> Tensor:
        """Map actions (..., A) [m/s, rad/s] to the head's units."""
        return (actions - self.action_center) / self.action_spread

    def denormalize(self, actions: Tensor) -> Tensor:
        """The inverse of `normalize`."""
        return actions * self.action_spread + self.action_center

    def act(self, answers: Tensor) -> Tensor:
        """Map answers (B, h, D) to actions (B, H, A) [m/s, rad/s]."""
        with torch.autocast(answers.device.type, enabled=False):
            return self.denormalize(self.head(answers))

    def predict(self, observation: dict[str, Tensor]) -> PolicyOutput:
        """Predict the action chunk and what is known about the station.

        Args:
            observation: A tensor per stream of the contract, valid (B, S) float32 and instruction
                (B, L) int64, as `DockingDataset.batch` describes them. In training mode, a head
                with latent tokens also looks at action and action_is_pad, if they are there.
        """
        instruction = observation[keys.INSTRUCTION]
        device = instruction.device.type
        half = self._half_fusion and torch.is_autocast_enabled(device)
        # Backbones and large fusions gain from half precision; the rest is small.
        with torch.autocast(device, enabled=False):
            condition = self.language(instruction)
        tokens, pointing = {}, None
        for key in self.stream_keys:
            if key in self.conditioned:
                tokens[key], pointed = self.encoders[key](observation[key], condition)
                pointing = pointing or pointed
        with torch.autocast(device, enabled=False):
            for key in self.stream_keys:
                if key not in tokens:
                    tokens[key] = self.encoders[key](observation[key])
            observed = self._present(tokens, observation[keys.VALID])
            told = self.instruction_token(condition).unsqueeze(1)
            with torch.autocast(device, enabled=half):
                latent, kl = self._latent(observation)
                answers = self.fusion(torch.cat([observed, told, latent], dim=1)).float()
            about_actions, about_station = answers[:, :-1], answers[:, -1]
            return PolicyOutput(
                act=self.act,
                answers=about_actions,
                dock_pose=self.pose_head(about_station),
                docked=self.docked_head(about_station).squeeze(-1),
                kl=kl,
                pointing=pointing,
            )

    @torch.no_grad()
    def attention_maps(self, observation: dict[str, Tensor]) -> dict[str, Tensor]:
        """Where the policy looks in each camera's image.

        Args:
            observation: As for `predict`.

        Returns:
            By camera and reader, such as "image/asked_8": (B, K, h, w) float32, each map of which
            sums to 1. See `ImageEncoder.attention_maps`.
        """
        condition = self.language(observation[keys.INSTRUCTION])
        return {
            f"{key}/{name}": maps
            for key, encoder in self.encoders.items()
            if isinstance(encoder, ImageEncoder)
            for name, maps in encoder.attention_maps(observation[key], condition).items()
        }

    def _present(self, tokens: dict[str, Tensor], valid: Tensor) -> Tensor:
        """All streams' tokens (B, N, D), those of invalid streams replaced."""
        observed = torch.cat([tokens[key].float() for key in self.stream_keys], dim=1)
        present = torch.cat(
            [
                valid[:, index, None].expand(-1, self.tokens[key])
                for index, key in enumerate(self.stream_keys)
            ],
            dim=1,
        )
        # A selection, not a product: whatever stands in an invalid stream must not leak through.
        return torch.where(present.unsqueeze(-1) > 0.5, observed, self.missing)

    def _latent(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """The head's extra tokens (B, E, D), and what they were told (B,)."""
        if self.training and self.head.extra_tokens and keys.ACTION in observation:
            actions = self.normalize(observation[keys.ACTION])
            return self.head.posterior_tokens(actions, observation[keys.ACTION_PAD])
        valid = observation[keys.VALID]
        return self.head.prior_tokens(valid.shape[0], valid.device), None

    def forward(self, *inputs: Tensor) -> Tensor:
        """The exported function.

        Args:
            *inputs: A tensor per stream in the contract's order, then valid and instruction.

        Returns:
            Action chunk (B, H, A) float32, [m/s, rad/s].
        """
        names = (*self.stream_keys, keys.VALID, keys.INSTRUCTION)
        return self.predict(dict(zip(names, inputs, strict=True))).actions


def _build_encoder(config: PolicyConfig, stream: StreamSpec, statistics: Statistics) -> nn.Module:
    """The encoder for a stream; it has an attribute `tokens`, their number."""
    own, width = statistics.field(stream.key), config.width
    if isinstance(stream.decoder, ImageDecoder):
        return ImageEncoder(config.vision, stream, own, config.condition, width)
    if isinstance(stream.decoder, ScanDecoder):
        return build_scan_encoder(config.scan, stream, own, width)
    return OdometryEncoder(stream, own, width)
