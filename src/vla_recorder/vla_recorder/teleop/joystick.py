"""What a joystick's buttons and axes mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vla_recorder.errors import TeleopError
from vla_recorder.teleop.operation import Stick


@dataclass(frozen=True)
class JoystickMap:
    """Which buttons and axes of sensor_msgs/Joy drive.

    Attributes:
        deadman: index of the button that must be held.
        linear: index of the axis that drives forward.
        angular: index of the axis that turns left.
        dead_zone: deflections below this are none.
        timeout_s: a joystick that says nothing for this long is not held any more.
    """

    deadman: int = 4
    linear: int = 1
    angular: int = 3
    dead_zone: float = 0.05
    timeout_s: float = 0.3

    def read(self, axes: Sequence[float], buttons: Sequence[int]) -> Stick | None:
        """What a message says; None while the deadman button is not pressed.

        Raises:
            TeleopError: the joystick has no such button or axis.
        """
        for kind, index, count in (
            ("button", self.deadman, len(buttons)),
            ("axis", self.linear, len(axes)),
            ("axis", self.angular, len(axes)),
        ):
            if not 0 <= index < count:
                raise TeleopError(
                    f"the joystick has {count} of kind {kind}, {index} is not among them; choose "
                    f"others with --deadman, --linear-axis and --angular-axis"
                )
        if not buttons[self.deadman]:
            return None
        return Stick(self._deflection(axes[self.linear]), self._deflection(axes[self.angular]))

    def _deflection(self, value: float) -> float:
        if not -1.0 <= value <= 1.0 or abs(value) < self.dead_zone:  # NaN is none, too
            return 0.0 if not abs(value) > 1.0 else (1.0 if value > 0.0 else -1.0)
        return value
