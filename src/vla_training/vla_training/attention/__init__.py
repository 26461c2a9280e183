"""Where a policy looks, as pictures and as a number."""
