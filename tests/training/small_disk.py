"""A disk without room, as the system's limit on the size of files makes one of any disk."""

import resource
from contextlib import contextmanager


@contextmanager
def files_of_at_most(size):
    """Let this process write no file of more bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
