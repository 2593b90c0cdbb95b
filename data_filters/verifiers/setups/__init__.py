"""Programs that a `setup` may name: what a platform gives to every answer. They run in the sandbox, never here."""
