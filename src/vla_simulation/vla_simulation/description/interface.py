"""Names of topics and frames that the robot's description shares with the simulator node.

A test holds them against the node, which cannot be imported where ROS is missing.
"""

ROBOT = "docking_robot"

BASE_FRAME = "base_link"
ODOMETRY_FRAME = "odom"
CAMERA_FRAME = "camera_link"
OPTICAL_FRAME = "camera_optical_frame"
SCANNER_FRAME = "scanner_link"

IMAGE_TOPIC = "camera/image_raw"
CAMERA_INFO_TOPIC = "camera/camera_info"
SCAN_TOPIC = "scan"
ODOMETRY_TOPIC = "odom"
JOINT_STATES_TOPIC = "joint_states"
BATTERY_TOPIC = "battery_state"
COMMAND_TOPIC = "cmd_vel"
TRANSFORM_TOPIC = "tf"

BATTERY = "battery"
GZ_BATTERY_TOPIC = f"/model/{ROBOT}/battery/{BATTERY}/state"
GZ_RECHARGE_TOPIC = f"/model/{ROBOT}/battery/{BATTERY}/recharge/start"
TOUCH_NAMESPACE = f"{ROBOT}/charging_contact"


def contact_topic(part: str) -> str:
    """Where the contact sensor of a part reports: bumper, left_pin or right_pin."""
    return f"contacts/{part}"


def joint_name(name: str) -> str:
    """Name of a joint in ``joint_states`` from its name in the MuJoCo model."""
    return f"{name}_joint"


def link_name(name: str) -> str:
    """Name of a link from its body's name in the MuJoCo model; that of the base is said whole."""
    return name if name.endswith("_link") else f"{name}_link"
