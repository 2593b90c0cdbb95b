"""Rows in, judged rows out: reading, verifying, de-duplicating and pairing training samples, on CPU only."""
