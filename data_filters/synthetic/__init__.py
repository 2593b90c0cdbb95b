"""Program-made rows: problems with traces whose faults are known, for trying a recipe and for measuring the filter.

A real trace can only be checked as well as the checks are; a program-made one is known to be right or wrong. A source
`synthetic: sums` with `faults: 0.2` therefore measures the filter: each planted fault carries its name in
`meta["fault"]`, and the report sets what was planted against what was caught.

One row (mode think, kind sums):

    {"id": "sums/0", "source": "sums",
     "messages": [{"role": "user", "content": "What is 4 + 7 - 3? Put the answer in \\\\boxed{}."},
                  {"role": "assistant", "reasoning": "4 + 7 = 11. 11 - 3 = 8.",
                   "content": "The answer is $\\\\boxed{8}$."}],
     "task": {"kind": "math", "answer": "8", "format": "boxed"}, "meta": {"kind": "sums"}}
"""

from data_filters.synthetic.faults import FAULTS
from data_filters.synthetic.kinds import KINDS
from data_filters.synthetic.rows import rows

__all__ = ["FAULTS", "KINDS", "rows"]
