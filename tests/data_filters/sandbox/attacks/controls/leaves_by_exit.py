"""A whole program that ends by sys.exit(0) under __main__.

Forms: io
"""

import sys
from itertools import accumulate


def main():
    print(*accumulate(map(int, sys.stdin.readline().split())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
