"""Closed-loop evaluation in simulation."""
