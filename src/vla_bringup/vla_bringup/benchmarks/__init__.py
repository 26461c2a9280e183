"""Benchmarks of what runs in the ROS graph."""
