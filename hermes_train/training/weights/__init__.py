"""Weights on disk: bases read, models loaded in parts, trained models written and opened again."""
