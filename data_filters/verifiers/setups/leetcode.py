# ruff: noqa: F401, F403, F405  # the imports are for the programs that run after this one
# mypy: ignore-errors
# What the starred imports hide from one another is hidden on LeetCode too.
"""What LeetCode gives to every answer in Python: common imports, list and tree nodes, and the tests' helpers for them.

list_node([1, 2])              the list 1 -> 2
tree_node([1, None, 2, 3])     a tree, level by level; None where a child is missing
"""

import bisect
import collections
import datetime
import functools
import heapq
import itertools
import math
import operator
import random
import re
import string
import sys
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from math import *
from operator import *
from random import randint
from string import *
from typing import *

sys.setrecursionlimit(100_000)
# The starred imports of operator and math hide it.
pow = __builtins__["pow"] if isinstance(__builtins__, dict) else __builtins__.pow


class ListNode:
    """A node of a linked list."""

    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next


class TreeNode:
    """A node of a binary tree."""

    def __init__(self, val=0, left=None, right=None):
        self.val = val
        self.left = left
        self.right = right


def list_node(values):
    """The head of a list of the values; None for none."""
    head = None
    for value in reversed(values):
        head = ListNode(value, head)
    return head


def is_same_list(first, second):
    """Whether two lists hold the same values in the same order."""
    while first and second and first.val == second.val:
        first, second = first.next, second.next
    return first is None and second is None


def tree_node(values):
    """The root of a tree given level by level; None for none."""
    if not values:
        return None
    rest = iter(values)
    root = TreeNode(next(rest))
    parents = deque([root])
    while parents:
        parent = parents.popleft()
        for side in ("left", "right"):
            value = next(rest, None)
            if value is not None:
                child = TreeNode(value)
                setattr(parent, side, child)
                parents.append(child)
    return root


def is_same_tree(first, second):
    """Whether two trees have the same form and values."""
    waiting = [(first, second)]
    while waiting:
        one, other = waiting.pop()
        if one is None and other is None:
            continue
        if one is None or other is None or one.val != other.val:
            return False
        waiting += [(one.left, other.left), (one.right, other.right)]
    return True
