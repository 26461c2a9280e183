"""The actions: goals, their progress, and how a dock is verified."""
