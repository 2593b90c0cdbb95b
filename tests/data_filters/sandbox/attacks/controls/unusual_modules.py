"""Uses a broad part of the standard library."""

import asyncio
import bisect
import collections
import contextlib
import datetime
import decimal
import fractions
import functools
import hashlib
import heapq
import io
import itertools
import json
import operator
import random
import re
import statistics
import string
import struct
import time
import typing
import uuid
import zoneinfo


async def summed(numbers):
    await asyncio.sleep(0)
    return list(itertools.accumulate(numbers, operator.add))


def running_totals(numbers):
    random.seed(1)
    assert heapq.nsmallest(1, [2, 1]) == [1]
    assert bisect.bisect([1, 2], 1) == 1
    assert decimal.Decimal("0.1") + fractions.Fraction(0).numerator == decimal.Decimal("0.1")
    assert hashlib.sha256(b"").hexdigest().startswith("e3b0")
    assert time.time() > 0 and datetime.datetime.now().year > 2000
    return asyncio.run(summed(numbers))
