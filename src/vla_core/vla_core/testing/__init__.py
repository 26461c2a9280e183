"""Damage to data from outside, for property tests and for `vla fuzz`; used by no robot."""
