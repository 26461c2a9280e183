"""Measurements against named peers and limits: `vla bench`."""
