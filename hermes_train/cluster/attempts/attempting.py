"""One try of a training stage, from the record of those before it to what becomes of the job."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from data_filters.errors import RunFailedError, UserError
from hermes_train.cluster.attempts.allocation import Allocation, Standing, job_record, requeue
from hermes_train.cluster.attempts.decision import (
    Action,
    Decision,
    Ending,
    Outcome,
    Progress,
    decide,
    given_up,
)
from hermes_train.cluster.attempts.evidence import Evidence, absent, ending, unfitness
from hermes_train.cluster.attempts.record import Attempt, append_attempt, killed, now, read_attempts
from hermes_train.cluster.attempts.step import StepEnd, StepRunner
from hermes_train.cluster.environment import LAUNCH, ClusterEnvironment, read_environment
from hermes_train.cluster.preflight.record import read_record
from hermes_train.pipeline import Pipeline
from hermes_train.runs import TRAINING, RunHeldError, StageFolder, StageState, write_json
from hermes_train.training.resume.checkpoints import latest_complete, step_of
from hermes_train.training.watch import signals
from hermes_train.training.watch.stacks import read_stacks
from hermes_train.training.watch.stage_log import StageLog
from hermes_train.training.watch.tries import (
    FILE,
    VARIABLE,
    Try,
    hosts_folder,
    jobs_folder,
    read_try,
    stacks_folder,
)

_PREFLIGHT_SECONDS = 900.0
"""How long the check of the nodes may take; most of it is the first reading of the libraries from a shared disk."""


def attempt_stage(pipeline: Pipeline, stage: str) -> int:
    """Try to train a stage on the nodes of the Slurm job that this process is in; returns the exit code.

    Raises UserError where the stage cannot be begun, and RunFailedError where it is given up.
    """
    if stage not in TRAINING:
        raise UserError(f"{stage} is no training stage; attempt makes {', '.join(TRAINING)}")
    environment, allocation = read_environment(), Allocation.of_environment()
    if pipeline.standing(stage).state is StageState.DONE:
        pipeline.console.print(f"{stage} is done already")
        return 0
    pipeline.require_earlier(stage)
    code = signals.EXIT_STOPPED
    # Slurm asks this process to end while it puts its own job back.
    with signals.stop_signals(), suppress(signals.StopSignal), signals.deferred():
        code = _Attempting(pipeline, stage, environment, allocation).make()
    return code


@dataclass
class _Attempting:
    """A try at work."""

    pipeline: Pipeline
    stage: str
    environment: ClusterEnvironment
    allocation: Allocation
    folder: StageFolder = field(init=False)
    jobs: Path = field(init=False)
    steps: StepRunner = field(init=False)
    begun: Try = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.pipeline.run_folder.stage(self.stage)
        self.jobs = jobs_folder(self.folder.path)
        self.steps = StepRunner(self.allocation, self.environment.signal_seconds, self._note_signal)

    def make(self) -> int:
        """Try, record, act; returns the exit code."""
        self._begin()
        found = self._lock_let_go() or self._preflight() or self._train()
        standing = self.allocation.standing()
        if standing is Standing.NEWER_TRY:
            self._tell(f"Slurm has begun a newer try of job {self.allocation.job}; this one was a leftover")
            return signals.EXIT_STOPPED
        decision = self._decided(found)
        return self._act(decision, standing)

    def _begin(self) -> None:
        """Say that this is the try at work, once the last one's end is on record."""
        last = read_try(self.jobs)
        if last is not None and last.job != self.allocation.job:
            self._require_ended(last)
        lost = killed(read_attempts(self.jobs), last, self._step())
        if lost is not None:
            append_attempt(self.jobs, lost)
            self._require_hope(lost)
        self.begun = Try(
            job=self.allocation.job,
            restart=self.allocation.restart,
            nodes=self.allocation.nodes,
            started=now(),
            from_step=self._step(),
        )
        self._write_try()
        self._tell(
            f"{self.stage}: try {len(read_attempts(self.jobs)) + 1}, job {self.begun.job} on "
            f"{', '.join(self.begun.nodes)}, after step {self.begun.from_step}"
        )

    def _require_ended(self, last: Try) -> None:
        """Raise UserError where another job is at work on this stage."""
        record = job_record(last.job)
        if record is not None and record.get("JobState") == "RUNNING":
            raise UserError(
                f"job {last.job} is at work on {self.stage} of {self.pipeline.run_folder.path}; wait for it, or end it "
                f"with `scancel {last.job}`"
            )

    def _require_hope(self, lost: Attempt) -> None:
        """Raise RunFailedError where a try that left no word was the last that this job has.

        Nothing else stops a training that takes its first node down each time.
        """
        reason = given_up(lost.text, self._tries_of_job(), self.environment.tries)
        if reason is not None:
            raise RunFailedError(f"{self.stage} stops: {reason}")

    def _tries_of_job(self) -> list[Progress]:
        # Those of earlier jobs do not count: whoever submitted this one has mended something.
        return [one.progress for one in read_attempts(self.jobs) if one.job == self.allocation.job]

    def _lock_let_go(self) -> Ending | None:
        """Wait for what an older try left at work: on a node that Slurm has lost sight of, it ends at its next step.

        Returns how this try ends where the wait was in vain.
        """
        seconds = 60 * self.environment.hang_minutes + 60
        if self.steps.wait_until(self._is_unlocked, seconds):
            return None
        if self.steps.asked is not None:
            return self._cut_short("before another process had let go of the run")
        holder = self.pipeline.run_folder.holder()
        who = f"process {holder.process} on {holder.host}" if holder else "another process"
        return Ending(Outcome.UNFIT, f"{who} still holds the run after {seconds:.0f} seconds; end it there")

    def _is_unlocked(self) -> bool:
        try:
            with self.pipeline.run_folder.locked():
                return True
        except RunHeldError:
            return False

    def _preflight(self) -> Ending | None:
        """Check the nodes; returns how this try ends where they are not fit."""
        began = time.monotonic()
        step = self.steps.run(self._script("preflight"), self._variables(), _PREFLIGHT_SECONDS, saves=False)
        missing = absent(self.allocation.nodes, self._hosts_that_came(), time.monotonic() - began)
        if step.asked is not None:
            return self._cut_short("during the check of the nodes")
        if step.end is StepEnd.OUT_OF_TIME:
            return Ending(
                Outcome.UNFIT,
                f"the check of the nodes took over {_PREFLIGHT_SECONDS:.0f} seconds"
                + (f"; {', '.join(missing)} did not come up" if missing else ""),
                missing,
            )
        if step.code == 0:
            return None
        folder = self.pipeline.run_folder.path / "jobs" / "preflight"
        found = sorted(folder.glob(f"{self.begun.job}.{self.begun.restart}.*/preflight.json"))
        record = read_record(found[-1]) if found else None
        return unfitness(record, step.code, self.allocation.nodes, missing)

    def _hosts_that_came(self) -> set[str]:
        return {path.name for path in hosts_folder(self.jobs, self.begun.place).glob("*")}

    def _train(self) -> Ending:
        log = StageLog(self.folder.path)
        before = log.path.read_bytes() if log.path.exists() else b""
        step = self.steps.run(self._script(self.stage), self._variables(), None, saves=True)
        if step.end is StepEnd.OUT_OF_TIME:
            return self._cut_short("and not saved within HERMES_SIGNAL_SECONDS; give it more of them")
        # A log that is as it was before tells of an earlier try.
        is_new = log.path.exists() and log.path.read_bytes() != before
        stacks = stacks_folder(self.jobs, self.begun.place)
        return ending(
            Evidence(
                is_done=self.pipeline.standing(self.stage).state is StageState.DONE,
                standing=self.allocation.standing(),
                code=step.code,
                asked=step.asked.name if step.asked else None,
                last_word=log.end() if is_new else None,
                stacks=read_stacks(stacks),
                stacks_folder=stacks,
                rank_count=len(self.allocation.nodes) * self._ranks_per_node(),
                node_count=len(self.allocation.nodes),
            )
        )

    def _cut_short(self, where: str) -> Ending:
        assert self.steps.asked is not None, "only a signal cuts a try short"
        is_taken = self.allocation.standing() is not Standing.RUNS
        return Ending(
            Outcome.TAKEN if is_taken else Outcome.STOPPED, f"stopped by {self.steps.asked.name} {where}"
        )

    def _decided(self, found: Ending) -> Decision:
        """Decide, and put it on record: what follows may end this process at any moment."""
        attempt = Attempt.of(self.begun, self._step(), found.outcome, found.text)
        tries = [*self._tries_of_job(), attempt.progress]
        decision = decide(found, tries, self.environment.tries, self.allocation.room())
        append_attempt(self.jobs, msgspec.structs.replace(attempt, left_out=decision.leave_out))
        return decision

    def _act(self, decision: Decision, standing: Standing) -> int:
        match decision.action:
            case Action.DONE:
                return 0
            case Action.STOP:
                raise RunFailedError(f"{self.stage} stops: {decision.text}")
            case Action.LEAVE_TO_SLURM:
                self._tell(decision.text)
                while standing is Standing.TO_BE_TAKEN:
                    # A job that ends by itself before it is taken counts as failed, and is not put back.
                    time.sleep(1)
                    standing = self.allocation.standing()
            case Action.REQUEUE | Action.REQUEUE_WITHOUT_NODE:
                self._tell(decision.text)
                left_out = self.allocation.room().left_out if decision.leave_out else frozenset()
                requeue(self.allocation.job, left_out | set(decision.leave_out))
        return signals.EXIT_STOPPED

    def _script(self, what: str) -> Sequence[str]:
        loaded, runs = self.pipeline.loaded, self.pipeline.run_folder.path.parent
        script = str(LAUNCH / "torchrun.sh")
        return [script, what, str(loaded.path), "--runs", str(runs), *loaded.override_options]

    def _variables(self) -> dict[str, str]:
        """Return the environment of a step. Each has a port of its own: a stale one is never taken."""
        return os.environ | {
            "HERMES_NODES": str(len(self.allocation.nodes)),
            "HERMES_RANKS_PER_NODE": str(self._ranks_per_node()),
            "HERMES_RENDEZVOUS": self.allocation.rendezvous(),
            VARIABLE: str(hosts_folder(self.jobs, self.begun.place).absolute()),
        }

    def _ranks_per_node(self) -> int:
        given = os.environ.get("HERMES_RANKS_PER_NODE") or os.environ.get("SLURM_GPUS_ON_NODE")
        return int(given) if given else self.pipeline.recipe.cluster.gpus_per_node

    def _step(self) -> int:
        """Return the last step that is saved; 0 where the stage begins anew."""
        state = self.pipeline.standing(self.stage).state
        if state is StageState.DONE:
            return int(getattr(self.pipeline.recipe, self.stage).steps)
        latest = latest_complete(self.folder.path) if state is StageState.INTERRUPTED else None
        return step_of(latest) if latest else 0

    def _note_signal(self, received: signal.Signals) -> None:
        self.begun = msgspec.structs.replace(self.begun, signal=received.name)
        self._write_try()

    def _write_try(self) -> None:
        write_json(self.jobs / FILE, msgspec.to_builtins(self.begun))

    def _tell(self, text: str) -> None:
        self.pipeline.console.print(text, highlight=False, markup=False, soft_wrap=True)
