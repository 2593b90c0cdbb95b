"""What one rank is started with, and how its check ends."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from hermes_train.cluster.preflight.facts import Place
from hermes_train.cluster.preflight.judgement import Outcome
from hermes_train.recipe.load import LoadedRecipe
from hermes_train.runs import RunFolder


@dataclass(frozen=True)
class Preflight:
    """What one rank is started with."""

    loaded: LoadedRecipe
    runs: Path
    patience: float
    """Seconds that a rank waits for the others: at check-in, and again until all has been measured."""
    console: Console
    place: Place
    environment: Mapping[str, str]
    """What the process was started with."""
    started: float = field(default_factory=time.monotonic)

    @property
    def run_folder(self) -> RunFolder:
        """The folder of the run that is to be trained."""
        return RunFolder(self.runs / self.loaded.recipe.name)


@dataclass(frozen=True)
class End:
    """How the check ended for one rank."""

    outcome: Outcome
    is_stuck: bool
    """Whether a collective hangs or broke, after which Python cannot end the process in order."""
