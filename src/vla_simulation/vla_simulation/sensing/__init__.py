"""Camera and scanner of the simulated robot."""
