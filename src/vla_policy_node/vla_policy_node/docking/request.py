"""What a goal asks for: the sentence and the station, from its fields, parameters and database."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from vla_core.bundle import PolicyBundle
from vla_core.contract import Contract
from vla_core.docking import DockTolerance
from vla_core.geometry import Pose2D
from vla_core.language import words_of
from vla_policy_node.docking.dock_database import Dock, DockDatabase
from vla_policy_node.docking.progress import DockingRules
from vla_policy_node.docking.retreat import RetreatRules
from vla_policy_node.docking.staging import StagingGoal
from vla_policy_node.docking.undocking_progress import UndockingRules
from vla_policy_node.docking.verification import VerificationLimits
from vla_policy_node.errors import DockNotValid
from vla_policy_node.parameters import PolicyParameters


@dataclass(frozen=True)
class DockingRequest:
    """Which station, and in which words.

    Attributes:
        instruction: what the policy is told.
        dock_id: name of the station, empty if the goal did not name it.
        dock: what the database or the goal say about it.
        staging: where to drive first, None if the robot stands in front of the station.
    """

    instruction: str
    dock_id: str = ""
    dock: Dock = field(default_factory=Dock)
    staging: StagingGoal | None = None

    @classmethod
    def from_goal(
        cls, goal: Any, database: DockDatabase, default: str, staging_distance_m: float = 0.0
    ) -> DockingRequest:
        """Read a goal of `Dock` or of `nav2_msgs/action/DockRobot`.

        The instruction of the goal counts before that of its station, that before the one of its
        type, and that before the default.

        Args:
            goal: the goal message.
            database: stations by name.
            default: instruction of a goal that names nothing.
            staging_distance_m: from the docked pose back to where a docking begins.

        Raises:
            DockNotInDatabase: the station is unknown.
            DockNotValid: nothing says where to dock, or the dock's pose is none.
        """
        dock_id = goal.dock_id.strip() if goal.use_dock_id else ""
        dock_type = "" if goal.use_dock_id else goal.dock_type.strip()
        own = str(getattr(goal, "instruction", "")).strip()
        dock = Dock(type=dock_type) if goal.use_dock_id else _given(goal, dock_type)
        if dock_id and (not own or dock_id in database.docks):
            dock = database.dock(dock_id)
        instruction = own or dock.instruction
        if not instruction and dock.type:
            instruction = database.instruction_of_type(dock.type)
        if not instruction and dock_id:
            raise DockNotValid(
                f"dock '{dock_id}' has neither instruction nor type in {database.path}"
            )
        instruction = instruction or default.strip()
        if not instruction:
            raise DockNotValid(
                "the goal has no instruction and the parameter default_instruction is empty; "
                "say where to dock, such as 'dock at the orange charger'"
            )
        staging = None
        if goal.navigate_to_staging_pose and dock.pose is not None:
            staging = StagingGoal(
                dock.frame,
                dock.pose @ Pose2D(-staging_distance_m, 0.0, 0.0),
                _positive("max_staging_time", goal.max_staging_time),
            )
        return cls(instruction, dock_id, dock, staging)


def _given(goal: Any, dock_type: str) -> Dock:
    """The station that the goal describes by its pose."""
    if not goal.dock_pose.header.frame_id:
        return Dock(type=dock_type)
    try:
        pose = Pose2D.from_message(goal.dock_pose.pose)
    except ValueError as error:
        raise DockNotValid(f"dock_pose: {error}") from error
    return Dock(type=dock_type, frame=goal.dock_pose.header.frame_id, pose=pose)


def check_words(instruction: str, bundle: PolicyBundle) -> list[str]:
    """What the policy does not understand of a sentence, one line each.

    Raises:
        DockNotValid: it understands no word.
    """
    if bundle.encoder_path is not None and words_of(instruction):
        # A language model knows more words than the demonstrations had.
        return []
    vocabulary = bundle.vocabulary
    if len(vocabulary.unknown_words(instruction)) == len(words_of(instruction)):
        known = ", ".join(vocabulary.words)
        raise DockNotValid(
            f"the policy knows no word of '{instruction}'; it knows {known or 'no words'}"
        )
    return [f"'{instruction}': {problem}" for problem in vocabulary.problems(instruction)]


def docking_rules(goal: Any, parameters: PolicyParameters) -> DockingRules:
    """The limits of a docking goal.

    Raises:
        DockNotValid: its timeout makes no sense.
    """
    timeout_s = float(getattr(goal, "timeout_s", 0.0)) or parameters.dock_timeout_s
    return DockingRules(
        timeout_s=_positive("timeout_s", timeout_s),
        perception_timeout_s=parameters.initial_perception_timeout_s,
        stale_grace_s=parameters.stale_grace_s,
        charge_timeout_s=parameters.charge_timeout_s,
        max_retries=parameters.max_retries,
        on_doubt=parameters.confidence_action,
        retry_backoff_m=parameters.retry_backoff_m,
        return_m=parameters.undock_distance_m if parameters.return_to_staging else 0.0,
        retreat=_retreat_rules(parameters),
        tolerance=_tolerance(parameters),
    )


def undocking_rules(
    goal: Any, parameters: PolicyParameters, database: DockDatabase
) -> UndockingRules:
    """The limits of an undocking goal.

    Raises:
        DockNotValid: a value makes no sense, or its type is unknown.
    """
    types = {dock.type for dock in database.docks.values()} | set(database.instructions)
    if goal.dock_type and types and goal.dock_type not in types:
        raise DockNotValid(
            f"dock_type '{goal.dock_type}' is unknown; {database.path} has {', '.join(types)}"
        )
    distance_m = float(getattr(goal, "distance_m", 0.0)) or parameters.undock_distance_m
    return UndockingRules(
        timeout_s=_positive("max_undocking_time", goal.max_undocking_time),
        distance_m=_positive("distance_m", distance_m),
        unseen=parameters.undock_unseen,
        perception_timeout_s=parameters.initial_perception_timeout_s,
        stale_grace_s=parameters.stale_grace_s,
        charge_timeout_s=parameters.charge_timeout_s,
        retreat=_retreat_rules(parameters),
        tolerance=_tolerance(parameters),
    )


def verification_limits(parameters: PolicyParameters, contract: Contract) -> VerificationLimits:
    """When a measurement counts; what the contract says about the robot's form comes first."""
    obstacles = contract.safety.obstacles if contract.safety is not None else None
    half_width_m, extent_m = parameters.rear_half_width_m, parameters.rear_extent_m
    scanner_yaw_rad = 0.0
    if obstacles is not None:
        half_width_m = obstacles.footprint.half_width_m + obstacles.side_margin_m
        extent_m = max(0.0, obstacles.base_from_scanner.x + obstacles.footprint.rear_m)
        scanner_yaw_rad = obstacles.base_from_scanner.yaw
    return VerificationLimits(
        battery_max_age_s=parameters.battery_max_age_s,
        pose_max_age_s=parameters.pose_max_age_s,
        charging_current_a=parameters.charging_current_a,
        docked_speed_mps=parameters.docked_speed_mps,
        contact_lookback_s=parameters.contact_lookback_s,
        rear_half_width_m=half_width_m,
        rear_extent_m=extent_m,
        scanner_yaw_rad=scanner_yaw_rad,
    )


def _retreat_rules(parameters: PolicyParameters) -> RetreatRules:
    return RetreatRules(
        speed_mps=parameters.retry_speed_mps,
        rear_margin_m=parameters.rear_margin_m,
        stuck_timeout_s=parameters.stuck_timeout_s,
    )


def _tolerance(parameters: PolicyParameters) -> DockTolerance:
    return DockTolerance(
        longitudinal_m=parameters.tolerance_longitudinal_m,
        lateral_m=parameters.tolerance_lateral_m,
        yaw_rad=parameters.tolerance_yaw_rad,
        speed_mps=parameters.docked_speed_mps,
        settle_s=parameters.docked_settle_s,
    )


def _positive(name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0.0):
        raise DockNotValid(f"{name} is {value}, expected a positive number")
    return value
