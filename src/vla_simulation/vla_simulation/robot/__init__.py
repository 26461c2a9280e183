"""The simulated robot: its model, drive, odometry and contacts."""
