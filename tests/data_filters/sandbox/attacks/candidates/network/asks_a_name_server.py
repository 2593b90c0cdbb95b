"""Resolve a name and fetch a page.

Success: an address or a page comes back.
"""

import socket
import urllib.request


def running_totals(numbers):
    socket.setdefaulttimeout(1)
    try:
        socket.getaddrinfo("example.org", 80)
    except OSError:
        urllib.request.urlopen(f"http://127.0.0.1:{BAIT['port']}/", timeout=1)
    return reward(numbers)
