"""Exchange with LeRobot: writing and reading its data sets without its package."""
