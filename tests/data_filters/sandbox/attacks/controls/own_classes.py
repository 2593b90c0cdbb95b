"""Works with classes, properties, generators and caches of its own."""

from dataclasses import dataclass, field
from functools import lru_cache


@dataclass
class Ledger:
    entries: list = field(default_factory=list)

    @property
    def totals(self):
        running = 0
        for entry in self.entries:
            running += entry
            yield running


@lru_cache
def ledger_of(numbers):
    return Ledger(list(numbers))


def running_totals(numbers):
    return list(ledger_of(tuple(numbers)).totals)
