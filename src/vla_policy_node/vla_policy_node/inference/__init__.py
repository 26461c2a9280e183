"""Chunks from observations, beside the control loop: worker process, runtimes, policy server."""
