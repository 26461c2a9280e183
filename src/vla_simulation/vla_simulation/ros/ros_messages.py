"""Messages that a robot's drivers would publish, from the state of the environment."""

import array
import math

from builtin_interfaces.msg import Time
from cv_bridge import CvBridge
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import BatteryState, CameraInfo, Image, JointState, LaserScan
from vla_msgs.msg import SimulationState

from vla_core.geometry import Pose2D
from vla_core.readings import ImageReading, ScanReading
from vla_simulation.config import PHYSICS_PERIOD_S, SimulationConfig
from vla_simulation.environment import DockingEnv
from vla_simulation.sensing.samples import WheelReading

BASE_FRAME = "base_link"
ODOMETRY_FRAME = "odom"
CAMERA_FRAME = "camera_link"
OPTICAL_FRAME = "camera_optical_frame"
SCANNER_FRAME = "scanner_link"

_BRIDGE = CvBridge()
_EMPTY_VOLTAGE_V = 22.4
_FULL_VOLTAGE_V = 28.8
_CHARGING_CURRENT_A = 12.0
_DRIVING_CURRENT_A = -1.8
_CAPACITY_AH = 20.0


def time_message(stamp_ns: int) -> Time:
    """Nanoseconds as a message."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def image(reading: ImageReading, config: SimulationConfig, stamp: Time) -> Image:
    """``camera/image_raw``: rgb8, distorted as ``camera/camera_info`` says."""
    message = _BRIDGE.cv2_to_imgmsg(reading.rgb, "rgb8")
    message.header.stamp = stamp
    message.header.frame_id = OPTICAL_FRAME
    return message


def camera_info(reading: ImageReading, config: SimulationConfig, stamp: Time) -> CameraInfo:
    """``camera/camera_info``; a rectified image has the same intrinsic matrix."""
    camera = config.camera
    message = CameraInfo()
    message.header.stamp = stamp
    message.header.frame_id = OPTICAL_FRAME
    message.width, message.height = camera.width_px, camera.height_px
    message.distortion_model = "plumb_bob"
    message.d = list(camera.distortion)
    message.k = [value for row in camera.matrix for value in row]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [value for row in camera.matrix for value in (*row, 0.0)]
    return message


def scan(reading: ScanReading, config: SimulationConfig, stamp: Time) -> LaserScan:
    """``scan``; +inf where nothing returned (REP-117)."""
    message = LaserScan()
    message.header.stamp = stamp
    message.header.frame_id = SCANNER_FRAME
    message.angle_min = reading.angle_min
    message.angle_max = config.scanner.angle_max_rad
    message.angle_increment = reading.angle_increment
    message.scan_time = config.scanner.period_steps * PHYSICS_PERIOD_S
    message.range_min = reading.range_min
    message.range_max = reading.range_max
    message.ranges = array.array("f", reading.ranges.tobytes())
    return message


def odometry(reading: WheelReading, config: SimulationConfig, stamp: Time) -> Odometry:
    """``odom``: dead reckoning from the wheel encoders."""
    message = Odometry()
    message.header.stamp = stamp
    message.header.frame_id = ODOMETRY_FRAME
    message.child_frame_id = BASE_FRAME
    _set_pose(message.pose.pose, reading.pose)
    message.twist.twist.linear.x = reading.linear_x
    message.twist.twist.angular.z = reading.angular_z
    travelled = 0.02 * reading.pose.distance
    message.pose.covariance[0] = message.pose.covariance[7] = 1e-6 + travelled**2
    message.pose.covariance[35] = 1e-6 + (0.5 * travelled) ** 2
    message.twist.covariance[0] = 1e-5
    message.twist.covariance[35] = 1e-4
    # Unknown axes of a planar base.
    for axis in (14, 21, 28):
        message.pose.covariance[axis] = message.twist.covariance[axis] = 1e6
    return message


def joint_states(reading: WheelReading, config: SimulationConfig, stamp: Time) -> JointState:
    """``joint_states`` of the drive wheels."""
    message = JointState()
    message.header.stamp = stamp
    message.name = ["left_wheel_joint", "right_wheel_joint"]
    message.position = list(reading.wheel_angles_rad)
    message.velocity = list(reading.wheel_speeds_radps)
    return message


def battery_state(env: DockingEnv, stamp: Time) -> BatteryState:
    """``battery_state``: charging only while the contacts are mated."""
    charging = env.robot.charging
    percentage = env.robot.battery_percentage
    message = BatteryState()
    message.header.stamp = stamp
    message.header.frame_id = BASE_FRAME
    message.voltage = _EMPTY_VOLTAGE_V + (_FULL_VOLTAGE_V - _EMPTY_VOLTAGE_V) * percentage
    message.current = _CHARGING_CURRENT_A if charging else _DRIVING_CURRENT_A
    message.temperature = math.nan
    message.charge = percentage * _CAPACITY_AH
    message.capacity = message.design_capacity = _CAPACITY_AH
    message.percentage = percentage
    message.power_supply_status = (
        BatteryState.POWER_SUPPLY_STATUS_CHARGING
        if charging
        else BatteryState.POWER_SUPPLY_STATUS_DISCHARGING
    )
    message.power_supply_health = BatteryState.POWER_SUPPLY_HEALTH_GOOD
    message.power_supply_technology = BatteryState.POWER_SUPPLY_TECHNOLOGY_LION
    message.present = True
    return message


def dock_pose(env: DockingEnv, stamp: Time) -> PoseStamped:
    """``ground_truth/dock_pose``: the docked pose seen from the base."""
    message = PoseStamped()
    message.header.stamp = stamp
    message.header.frame_id = BASE_FRAME
    _set_pose(message.pose, env.truth.dock_from_base.inverse())
    return message


def simulation_state(env: DockingEnv, stamp: Time) -> SimulationState:
    """``ground_truth/state``."""
    truth = env.truth
    message = SimulationState()
    message.header.stamp = stamp
    message.header.frame_id = "world"
    message.seed = env.seed
    message.suite = env.suite.name
    message.instruction = env.instruction
    message.goal = truth.goal
    message.station_count = truth.station_count
    message.time_s = truth.time_s
    for target, pose in (
        (message.base_pose, truth.world_from_base),
        (message.dock_pose, truth.world_from_dock),
    ):
        target.x, target.y, target.theta = pose.x, pose.y, pose.yaw
    message.longitudinal_error_m = truth.dock_from_base.x
    message.lateral_error_m = truth.dock_from_base.y
    message.yaw_error_rad = truth.dock_from_base.yaw
    message.speed_mps = truth.speed_mps
    message.docked = truth.docked
    message.docked_station = -1 if truth.docked_station is None else truth.docked_station
    message.precise = truth.precise
    message.mated = truth.mated
    message.collision = truth.collision
    message.contact_speed_mps = truth.contact_speed_mps
    return message


def odometry_transform(reading: WheelReading, stamp: Time) -> TransformStamped:
    """``odom_from_base_link`` for tf."""
    pose = reading.pose
    message = TransformStamped()
    message.header.stamp = stamp
    message.header.frame_id = ODOMETRY_FRAME
    message.child_frame_id = BASE_FRAME
    message.transform.translation.x = pose.x
    message.transform.translation.y = pose.y
    _set_quaternion(message.transform.rotation, pose.quaternion())
    return message


def static_transforms(env: DockingEnv, stamp: Time) -> list[TransformStamped]:
    """Where camera and scanner are mounted."""
    camera, scanner = env.config.camera, env.config.scanner
    half = camera.pitch_down_rad / 2
    pitched = (0.0, math.sin(half), 0.0, math.cos(half))
    return [
        _mount(stamp, SCANNER_FRAME, BASE_FRAME, (scanner.x_m, scanner.z_m), (0.0, 0.0, 0.0, 1.0)),
        _mount(stamp, CAMERA_FRAME, BASE_FRAME, (camera.x_m, camera.z_m), pitched),
        # REP-103: z forward, x right, y down.
        _mount(stamp, OPTICAL_FRAME, CAMERA_FRAME, (0.0, 0.0), (-0.5, 0.5, -0.5, 0.5)),
    ]


def _mount(
    stamp: Time,
    child: str,
    parent: str,
    x_and_z: tuple[float, float],
    quaternion: tuple[float, float, float, float],
) -> TransformStamped:
    message = TransformStamped()
    message.header.stamp = stamp
    message.header.frame_id = parent
    message.child_frame_id = child
    message.transform.translation.x, message.transform.translation.z = x_and_z
    _set_quaternion(message.transform.rotation, quaternion)
    return message


def _set_pose(message: object, pose: Pose2D) -> None:
    message.position.x, message.position.y = pose.x, pose.y  # type: ignore[attr-defined]
    _set_quaternion(message.orientation, pose.quaternion())  # type: ignore[attr-defined]


def _set_quaternion(message: object, values: tuple[float, float, float, float]) -> None:
    message.x, message.y, message.z, message.w = values  # type: ignore[attr-defined]
