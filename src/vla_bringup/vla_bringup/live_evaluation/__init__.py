"""Evaluation through the live ROS graph: the episodes of lock-step, driven by the real nodes."""
