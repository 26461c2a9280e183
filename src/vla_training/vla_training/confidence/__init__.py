"""How sure a policy may be of itself: features of its network, calibration, and what it misses."""
