"""Conversations as text, tokens and labels."""
