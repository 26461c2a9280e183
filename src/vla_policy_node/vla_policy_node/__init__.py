"""Lifecycle node that serves a policy bundle: docking action in, cmd_vel at 20 Hz out."""
