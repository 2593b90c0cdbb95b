"""The checks, one file each. Every check returns a `Check` whose reason is a stable slug."""
