"""`docking_cnn`: camera, scan, odometry and an instruction in, a chunk of actions out.

Inputs and outputs are raw SI units; normalisation lives in buffers of the module, so that the
exported graph is complete.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vla_core import keys
from vla_core.contract import Contract
from vla_core.contract_specs import ImageDecoder
from vla_core.normalization import Statistics
from vla_training.configuration import bounded
from vla_training.models.encoders import EncoderConfig, build_encoder
from vla_training.models.layers import AttentionBlock

POSE_SIZE = 4


@dataclass(frozen=True)
class DockingCnnConfig:
    """Sizes of the network.

    Attributes:
        encoders: Sizes of the encoders.
        width: Size D of a token.
        heads: Attention heads of the fusion transformer; must divide D.
        layers: Layers of the fusion transformer.
        feedforward: Hidden size of its perceptrons.
        condition: Size C of the instruction vector that drives FiLM.
        dropout: Dropout of the fusion transformer.
    """

    encoders: EncoderConfig = field(default_factory=EncoderConfig)
    width: int = bounded(128, 8, 4096)
    heads: int = bounded(4, 1, 64)
    layers: int = bounded(2, 1, 64)
    feedforward: int = bounded(256, 8, 16384)
    condition: int = bounded(64, 4, 4096)
    dropout: float = bounded(0.0, 0.0, 0.9)

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by heads {self.heads}")


@dataclass(frozen=True)
class PolicyOutput:
    """What one forward pass predicts in training.

    Attributes:
        actions: (B, H, A) float32, [m/s, rad/s].
        dock_pose: (B, 4) float32: x [m], y [m], sin yaw, cos yaw of the commanded station in the
            base frame.
    """

    actions: Tensor
    dock_pose: Tensor


class DockingCnn(nn.Module):
    """An encoder per stream, FiLM by the instruction, a fusion transformer, chunk queries.

    Args:
        config: Sizes.
        contract: Gives the streams, the action and the chunk length.
        statistics: Normalisation.
        vocabulary_size: Number of word numbers, padding and unknown included.
    """

    action_center: Tensor
    action_spread: Tensor

    def __init__(
        self,
        config: DockingCnnConfig,
        contract: Contract,
        statistics: Statistics,
        vocabulary_size: int,
    ) -> None:
        super().__init__()
        self.stream_keys = contract.keys
        width = config.width
        self.words = nn.Embedding(vocabulary_size, config.condition, padding_idx=0)
        self.word_weight = nn.Linear(config.condition, 1, bias=False)
        self.sentence = nn.Sequential(
            nn.Linear(config.condition, config.condition),
            nn.ReLU(),
            nn.Linear(config.condition, config.condition),
        )
        self.encoders = nn.ModuleDict(
            {
                stream.key: build_encoder(
                    stream,
                    statistics.field(stream.key),
                    config.encoders,
                    config.condition,
                    width,
                )
                for stream in contract.streams
            }
        )
        self.conditioned = frozenset(
            stream.key for stream in contract.streams if isinstance(stream.decoder, ImageDecoder)
        )
        self.instruction_token = nn.Linear(config.condition, width)
        self.tokens = {key: int(encoder.tokens) for key, encoder in self.encoders.items()}  # type: ignore[arg-type]
        observed = sum(self.tokens.values())
        self.missing = nn.Parameter(torch.randn(observed, width) * 0.02)
        self.kind = nn.Parameter(torch.randn(observed + 1, width) * 0.02)
        # The last query is for the station's pose, the others for the actions of the chunk.
        self.queries = nn.Parameter(torch.randn(contract.action.chunk_length + 1, width) * 0.02)
        self.fusion = nn.ModuleList(
            AttentionBlock(width, config.heads, config.feedforward, config.dropout)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.action_head = nn.Linear(width, contract.action.size)
        self.pose_head = nn.Linear(width, POSE_SIZE)
        center, spread = statistics.field(keys.ACTION).center_and_spread()
        self.register_buffer("action_center", torch.from_numpy(center))
        self.register_buffer("action_spread", torch.from_numpy(spread))
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv1d) and module.kernel_size[0] > 1:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.normal_(self.words.weight, std=0.5)
        nn.init.zeros_(self.word_weight.weight)
        for head in (self.action_head, self.pose_head):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)

    def encode_instruction(self, instruction: Tensor) -> Tensor:
        """Map word numbers (B, L) int64 to the condition (B, C).

        Words are weighted before they are averaged: of "please dock with the red charging station"
        one word in seven says which.
        """
        words = self.words(instruction)  # (B, L, C)
        padding = (instruction == 0).unsqueeze(-1)
        weights = self.word_weight(words).masked_fill(padding, -1e4).softmax(dim=1)
        return self.sentence((words * weights).sum(1))

    def predict(self, observation: dict[str, Tensor]) -> PolicyOutput:
        """Predict the action chunk and the station's pose.

        Args:
            observation: A tensor per stream of the contract, valid (B, S) float32 and instruction
                (B, L) int64, as `DockingDataset.batch` describes them.
        """
        instruction = observation[keys.INSTRUCTION]
        # Only the convolutions gain from half precision; the rest is small and wants float32.
        with torch.autocast(instruction.device.type, enabled=False):
            condition = self.encode_instruction(instruction)
        tokens = {key: self.encoders[key](observation[key], condition) for key in self.conditioned}
        with torch.autocast(instruction.device.type, enabled=False):
            for key in self.stream_keys:
                if key not in tokens:
                    tokens[key] = self.encoders[key](observation[key])
            answers = self._fuse(tokens, observation[keys.VALID], condition)
            actions = self.action_head(answers[:, :-1]) * self.action_spread + self.action_center
            return PolicyOutput(actions, self.pose_head(answers[:, -1]))

    def _fuse(self, tokens: dict[str, Tensor], valid: Tensor, condition: Tensor) -> Tensor:
        """Let the queries read the tokens; returns (B, H + 1, D)."""
        observed = torch.cat([tokens[key].float() for key in self.stream_keys], dim=1)
        present = torch.cat(
            [
                valid[:, index, None].expand(-1, self.tokens[key])
                for index, key in enumerate(self.stream_keys)
            ],
            dim=1,
        )
        # A selection, not a product: whatever stands in an invalid stream must not leak through.
        observed = torch.where(present.unsqueeze(-1) > 0.5, observed, self.missing)
        observed = torch.cat([observed, self.instruction_token(condition).unsqueeze(1)], dim=1)
        queries = self.queries.expand(observed.shape[0], -1, -1)
        sequence = torch.cat([observed + self.kind, queries], dim=1)
        for layer in self.fusion:
            sequence = layer(sequence)
        return self.norm(sequence[:, -self.queries.shape[0] :])

    def forward(self, *inputs: Tensor) -> Tensor:
        """The exported function.

        Args:
            *inputs: A tensor per stream in the contract's order, then valid and instruction.

        Returns:
            Action chunk (B, H, A) float32, [m/s, rad/s].
        """
        names = (*self.stream_keys, keys.VALID, keys.INSTRUCTION)
        return self.predict(dict(zip(names, inputs, strict=True))).actions
