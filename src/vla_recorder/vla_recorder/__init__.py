"""Lifecycle recorder: one rosbag2 bag per docking episode, labelled, with its contract."""
