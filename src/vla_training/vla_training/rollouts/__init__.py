"""From episodes in the simulator, in lock-step, straight to data sets."""
