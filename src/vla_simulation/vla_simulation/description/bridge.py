"""The topics that ``ros_gz_bridge`` carries between Gazebo and ROS."""

from dataclasses import dataclass

from vla_simulation.description import interface as names
from vla_simulation.description.xml_text import NOTICE

GZ_TO_ROS = "GZ_TO_ROS"
ROS_TO_GZ = "ROS_TO_GZ"


@dataclass(frozen=True)
class Bridged:
    """One topic: names and types on both sides, and who speaks."""

    ros_topic: str
    gz_topic: str
    ros_type: str
    gz_type: str
    direction: str = GZ_TO_ROS


def bridged_topics() -> tuple[Bridged, ...]:
    """Everything that is carried; ROS names are relative, so that a namespace moves them."""
    return (
        Bridged("/clock", "/clock", "rosgraph_msgs/msg/Clock", "gz.msgs.Clock"),
        _same(names.IMAGE_TOPIC, "sensor_msgs/msg/Image", "gz.msgs.Image"),
        _same(names.CAMERA_INFO_TOPIC, "sensor_msgs/msg/CameraInfo", "gz.msgs.CameraInfo"),
        _same(names.SCAN_TOPIC, "sensor_msgs/msg/LaserScan", "gz.msgs.LaserScan"),
        _same(names.ODOMETRY_TOPIC, "nav_msgs/msg/Odometry", "gz.msgs.Odometry"),
        _same(names.JOINT_STATES_TOPIC, "sensor_msgs/msg/JointState", "gz.msgs.Model"),
        Bridged(
            names.BATTERY_TOPIC,
            names.GZ_BATTERY_TOPIC,
            "sensor_msgs/msg/BatteryState",
            "gz.msgs.BatteryState",
        ),
        Bridged("/tf", f"/{names.TRANSFORM_TOPIC}", "tf2_msgs/msg/TFMessage", "gz.msgs.Pose_V"),
        *(
            _same(names.contact_topic(part), "ros_gz_interfaces/msg/Contacts", "gz.msgs.Contacts")
            for part in ("bumper", "left_pin", "right_pin")
        ),
        Bridged(
            names.COMMAND_TOPIC,
            f"/{names.COMMAND_TOPIC}",
            "geometry_msgs/msg/TwistStamped",
            "gz.msgs.Twist",
            ROS_TO_GZ,
        ),
    )


def bridge_yaml() -> str:
    """Text of the bridge's configuration file."""
    lines = [f"# {sentence}" for sentence in NOTICE.split(". ", 1)]
    lines.append("# ros2 run ros_gz_bridge parameter_bridge --ros-args -p config_file:=THIS_FILE")
    for topic in bridged_topics():
        lines += [
            "",
            f'- ros_topic_name: "{topic.ros_topic}"',
            f'  gz_topic_name: "{topic.gz_topic}"',
            f'  ros_type_name: "{topic.ros_type}"',
            f'  gz_type_name: "{topic.gz_type}"',
            f"  direction: {topic.direction}",
        ]
    return "\n".join(lines) + "\n"


def _same(topic: str, ros_type: str, gz_type: str) -> Bridged:
    return Bridged(topic, f"/{topic}", ros_type, gz_type)
