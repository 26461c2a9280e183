"""The same robot, stations and world as SDFormat (Gazebo) and URDF, written from the MuJoCo model.

``python -m vla_simulation.description`` writes the files that the package installs.
"""
