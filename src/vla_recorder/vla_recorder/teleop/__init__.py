"""Driving by hand: keyboard and joystick."""
