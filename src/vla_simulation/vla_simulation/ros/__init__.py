"""The ROS 2 side: simulator and expert nodes, their topics and messages."""
