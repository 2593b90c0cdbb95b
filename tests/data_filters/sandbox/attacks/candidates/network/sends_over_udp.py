"""Send a datagram to a socket on the machine.

Success: it arrives.
"""

import socket


def running_totals(numbers):
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.sendto(b"hello", ("127.0.0.1", BAIT["datagram_port"]))
    return None
