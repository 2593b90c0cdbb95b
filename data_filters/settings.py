"""Typed settings of this package, as they stand in a recipe under `data`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

RowFormat = Literal["auto", "openai", "sharegpt", "alpaca", "r1", "gsm8k"]
ModeName = Literal["think", "direct"]
KeepOrDrop = Literal["keep", "drop"]
Share = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """Base of all sections: unknown keys are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Settings):
    """One place that rows come from."""

    name: str = Field(min_length=1, pattern=r"^[^/\\\s]+$")
    """Its name in figures and sample ids; unique in the recipe, without blanks or slashes."""
    path: str | None = None
    """A file or a glob: .jsonl, .json, .jsonl.gz, .json.gz or .parquet."""
    hub: str | None = None
    """A data set on the Hugging Face Hub."""
    synthetic: str | None = None
    """A kind of program-made rows."""
    split: str = "train"
    """Split of the Hub data set."""
    revision: str | None = None
    """Branch, tag or commit of the Hub data set; None for its newest."""
    format: RowFormat = "auto"
    """How a row is laid out; auto looks at each row's keys."""
    task: Literal["math"] | None = None
    """The kind of task to build when a row has an answer field."""
    answer_field: str | None = None
    """The row's field that holds the reference answer; None for "answer"."""
    mode: ModeName | None = None
    """Keep only rows of this mode; None keeps each row as it is."""
    strip_reasoning: bool = False
    """With mode direct: take the thought off think rows instead of leaving those rows out."""
    rows: int | None = Field(default=None, ge=1)
    """Take only the first so many rows."""
    seed: int = 0
    """Seed of program-made rows."""
    faults: float = Field(default=0, ge=0, le=0.5)
    """Share of program-made rows that carry a planted fault; each follows a sound row of the same problem."""
    share: float | None = Field(default=None, gt=0, le=1)
    """Share of the mixture's tokens; None lets the source bring what it has."""
    epochs: float = Field(default=1, gt=0)
    """How often the rows are seen in one pass over the mixture."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        given = [name for name in ("path", "hub", "synthetic") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise ValueError(
                f"source {self.name!r} needs exactly one of path, hub, synthetic; it has {found}"
            )
        return self

    @model_validator(mode="after")
    def _fields_fit_the_origin(self) -> Self:
        if self.synthetic is None and self.faults:
            raise ValueError(f"source {self.name!r}: faults = {self.faults} needs a synthetic source")
        if self.synthetic is not None and self.rows is None:
            raise ValueError(
                f"source {self.name!r}: a synthetic source needs rows, the number of rows to make"
            )
        if self.strip_reasoning and self.mode != "direct":
            raise ValueError(f"source {self.name!r}: strip_reasoning needs mode: direct; mode is {self.mode}")
        return self


class UnverifiedSettings(Settings):
    """What becomes of rows that no check applies to, by mode."""

    think: KeepOrDrop = "drop"
    direct: KeepOrDrop = "keep"


class ThinkSettings(Settings):
    """Bounds on the thought."""

    min_characters: int = Field(default=1, ge=1)
    """A thought with fewer characters counts as empty."""
    max_repeated_ngram_share: Share | None = None
    """Refuse a thought in which more than this share of the 8-word runs are repeats; None switches it off."""


class VerifySettings(Settings):
    """How rows are verified."""

    unverified: UnverifiedSettings = UnverifiedSettings()
    math_timeout_seconds: float = Field(default=5, gt=0)
    """Time for one symbolic comparison, in seconds, before its worker is killed."""
    max_answer_characters: int = Field(default=2000, ge=1)
    """Longer extracted answers are not given to the symbolic comparison."""
    think: ThinkSettings = ThinkSettings()


class DuplicatesSettings(Settings):
    """Which duplicates are taken out."""

    exact: bool = True
    """Take out rows whose normalised conversation was seen before."""


class ContaminationSettings(Settings):
    """Which rows are too near to held-out problems."""

    against: list[str] = []
    """Files of held-out problems."""
    overlap: float = Field(default=0.5, gt=0, le=1)
    """Share of a prompt's word runs that may not be reached by one held-out problem."""
    ngram: int = Field(default=8, ge=1)
    """Length of a word run."""


class EngineSettings(Settings):
    """Where and how wide the filter runs."""

    executor: Literal["local"] = "local"
    workers: int = Field(default=1, ge=1)
    """Worker processes."""
    tasks: int | None = Field(default=None, ge=1)
    """Shards of the work, the unit that a rerun skips; None for four per worker."""


class DataSettings(Settings):
    """The recipe's section `data`: where rows come from and how they are filtered."""

    sources: list[Source] = Field(min_length=1)
    verify: VerifySettings = VerifySettings()
    duplicates: DuplicatesSettings = DuplicatesSettings()
    contamination: ContaminationSettings = ContaminationSettings()
    engine: EngineSettings = EngineSettings()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each source needs a name of its own; used twice: {', '.join(twice)}")
        return self
