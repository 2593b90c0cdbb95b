"""Held-out problems answered in both modes, and what the answers are worth."""
