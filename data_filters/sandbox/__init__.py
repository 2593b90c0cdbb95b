"""Run untrusted Python in a process that sees nothing, reaches nothing and leaves nothing behind.

Start with `pool.Sandbox`. This file stays empty: what runs inside is imported from this package too.
"""
