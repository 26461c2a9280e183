"""What is drawn per episode, and between which bounds.

Pairs are (low, high) of a uniform distribution unless a field says otherwise.
"""

from dataclasses import dataclass, field

from vla_simulation.randomization.physics import PhysicsRandomization
from vla_simulation.randomization.scene import LanguageConfig, SceneRandomization, StartConfig
from vla_simulation.randomization.sensors import SensorRandomization

__all__ = [
    "LanguageConfig",
    "PhysicsRandomization",
    "Randomization",
    "SceneRandomization",
    "SensorRandomization",
    "StartConfig",
]


@dataclass(frozen=True)
class Randomization:
    """Everything that is drawn per episode but the start and the sentence."""

    scene: SceneRandomization = field(default_factory=SceneRandomization)
    physics: PhysicsRandomization = field(default_factory=PhysicsRandomization)
    sensors: SensorRandomization = field(default_factory=SensorRandomization)
