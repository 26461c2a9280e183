"""Who drives in simulation: the scripted expert and its noise, and classical peers."""
