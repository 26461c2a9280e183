"""MuJoCo docking environment, scripted expert, and the ROS nodes around them."""
