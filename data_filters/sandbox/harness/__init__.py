"""What runs inside the sandbox: the candidate, the tests, and the plain data that passes between them.

Each module with a `main(channel, peer)` is one kind of inmate. They import the standard library and each other,
nothing else: the sandbox holds no more.
"""
