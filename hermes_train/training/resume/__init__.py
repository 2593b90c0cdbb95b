"""Checkpoints that are known to be whole, and how a stage goes on from them."""
