"""datatrove's local executor, silent on the screen and without spare processes for one worker."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from copy import deepcopy
from typing import Any

from datatrove.executor.local import LocalPipelineExecutor


class QuietLocalExecutor(LocalPipelineExecutor):
    """Run shards in worker processes, or all in this process when there is one worker."""

    def run(self) -> Any:
        """Run the shards that are not marked as finished. Raises what a block raises."""
        if self.workers > 1:
            return super().run()
        # datatrove would start a manager process to hand out worker numbers to the only worker.
        self.save_executor_as_json()
        blocks = self.pipeline
        for rank in self.get_incomplete_ranks():
            self.pipeline = deepcopy(blocks)
            self._run_for_rank(rank)
        return None

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> Any:
        # datatrove adds a handler for standard error to every task's log file; the file is enough.
        with redirect_stderr(io.StringIO()):
            return super()._run_for_rank(rank, local_rank, node_rank)
