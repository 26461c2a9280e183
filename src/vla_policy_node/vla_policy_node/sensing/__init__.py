"""The streams of the contract as they arrive, and whether they are what the policy expects."""
