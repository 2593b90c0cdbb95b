"""Whether a math answer is right. Start with `answers`."""
