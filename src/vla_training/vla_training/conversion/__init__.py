"""From bags to rows at the control rate."""
