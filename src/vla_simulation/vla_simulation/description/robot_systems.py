"""The systems of Gazebo that drive the robot, report its joints and charge its battery."""

import xml.etree.ElementTree as ET

from vla_simulation.config import PHYSICS_PERIOD_S, SimulationConfig
from vla_simulation.description import interface as names
from vla_simulation.description.sdf import plugin
from vla_simulation.description.xml_text import element, leaves
from vla_simulation.environment import ACTION_HIGH, ACTION_LOW

_CHARGING_DELAY_S = 0.2
_BATTERY_VOLTS = (22.4, 28.8)
_BATTERY_AH = 20.0
_BATTERY_START = 0.3
_CHARGING_H = 1.7
_DRIVING_W = 46.0
_SIDES = ("left", "right")


def robot_systems(config: SimulationConfig) -> list[ET.Element]:
    """The ``<plugin>`` elements: drive, joint states, battery and what charges it."""
    robot, encoders_hz = config.robot, rate_hz(config.robot.encoder_period_steps)
    drive: dict[str, str | float] = {
        "left_joint": names.joint_name("left_wheel"),
        "right_joint": names.joint_name("right_wheel"),
        "wheel_separation": robot.track_width_m,
        "wheel_radius": robot.wheel_radius_m,
        "odom_publish_frequency": encoders_hz,
        "topic": names.COMMAND_TOPIC,
        "odom_topic": names.ODOMETRY_TOPIC,
        "tf_topic": names.TRANSFORM_TOPIC,
        "frame_id": names.ODOMETRY_FRAME,
        "child_frame_id": names.BASE_FRAME,
    }
    for k, axis in enumerate(("linear", "angular")):
        limit = (robot.max_linear_acceleration_mps2, robot.max_angular_acceleration_radps2)[k]
        drive[f"min_{axis}_velocity"] = float(ACTION_LOW[k])
        drive[f"max_{axis}_velocity"] = float(ACTION_HIGH[k])
        drive[f"min_{axis}_acceleration"] = -limit
        drive[f"max_{axis}_acceleration"] = limit
    joints = [element("joint_name", names.joint_name(f"{side}_wheel")) for side in _SIDES]
    return [
        plugin("gz-sim-diff-drive-system", "DiffDrive", *leaves(drive)),
        plugin(
            "gz-sim-joint-state-publisher-system",
            "JointStatePublisher",
            element("topic", names.JOINT_STATES_TOPIC),
            element("update_rate", encoders_hz),
            *joints,
        ),
        *_charging(),
    ]


def _charging() -> list[ET.Element]:
    """A battery that charges once a pin has rested on a plate for as long as the charger waits.

    The touch system reports once; what comes after an undocking is said in the documentation.
    """
    empty_v, full_v = _BATTERY_VOLTS
    touch: dict[str, str | float] = {
        "target": "_plate",
        "collision": "left_pin",
        "namespace": names.TOUCH_NAMESPACE,
        "time": _CHARGING_DELAY_S,
        "enabled": "true",
    }
    battery: dict[str, str | float] = {
        "battery_name": names.BATTERY,
        "voltage": empty_v + (full_v - empty_v) * _BATTERY_START,
        "open_circuit_voltage_constant_coef": full_v,
        "open_circuit_voltage_linear_coef": empty_v - full_v,
        "initial_charge": _BATTERY_START * _BATTERY_AH,
        "capacity": _BATTERY_AH,
        "resistance": 0.05,
        "smooth_current_tau": 0.1,
        "power_load": _DRIVING_W,
        "start_draining": "true",
        "enable_recharge": "true",
        "recharge_by_topic": "true",
        "charging_time": _CHARGING_H,
        # ROS has positive currents charge the battery.
        "invert_current_sign": "true",
    }
    boolean = "gz.msgs.Boolean"
    return [
        plugin("gz-sim-touchplugin-system", "TouchPlugin", *leaves(touch)),
        plugin(
            "gz-sim-triggered-publisher-system",
            "TriggeredPublisher",
            element(
                "input",
                element("match", "data: true"),
                type=boolean,
                topic=f"/{names.TOUCH_NAMESPACE}/touched",
            ),
            element("output", "data: true", type=boolean, topic=names.GZ_RECHARGE_TOPIC),
        ),
        plugin("gz-sim-linearbatteryplugin-system", "LinearBatteryPlugin", *leaves(battery)),
    ]


def rate_hz(period_steps: int) -> float:
    """Rate of something that happens every so many physics steps."""
    return 1.0 / (period_steps * PHYSICS_PERIOD_S)
