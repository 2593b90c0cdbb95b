"""Typed settings of this package, as they stand in a recipe under `data`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from data_filters.sandbox.layers import layers_named

RowFormat = Literal[
    "auto", "openai", "sharegpt", "alpaca", "oasst", "r1", "gsm8k", "humaneval", "mbpp", "leetcode"
]
ModeName = Literal["think", "direct"]
TaskName = Literal["math", "code"]
KeepOrDrop = Literal["keep", "drop"]
Reading = Literal["strict", "loose"]
Share = Annotated[float, Field(ge=0, le=1)]
_SHARE_ROUNDING = 1e-6


class Settings(BaseModel):
    """Base of all sections: unknown keys are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Settings):
    """One place that rows come from."""

    name: str = Field(min_length=1, pattern=r"^[^/\\\s]+$")
    """Its name in figures and sample ids; unique in the recipe, without blanks or slashes."""
    path: str | None = None
    """A file or a glob: .jsonl, .json, either also with .gz or .zst, or .parquet."""
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
    task: TaskName | None = None
    """The kind of task to build for a row that brings none: math from its answer field; code from its fields `tests`,
    `cases` or `io`, with `entry_point`, `setup`, `tolerance` and `language`."""
    answer_field: str | None = None
    """The row's field that holds the reference answer, or the tests of a code task; None for "answer", "tests"."""
    label_field: str | None = None
    """The row's field that says, true or false, whether its answer is right. It is held against the verdicts in the
    report and decides nothing."""
    mode: ModeName | None = None
    """Keep only rows of this mode; None keeps each row as it is."""
    strip_reasoning: bool = False
    """With mode direct: take the thought off think rows instead of leaving those rows out."""
    rows: int | None = Field(default=None, ge=1)
    """Take only the first so many rows."""
    seed: int = 0
    """Seed of program-made rows."""
    held_out: bool = False
    """Make program-made rows of the subjects that are kept for `evaluate.problems`, a quarter of all; the other rows
    never have one of these."""
    faults: float = Field(default=0, ge=0, le=0.5)
    """Share of program-made rows that carry a planted fault; each follows a sound row of the same problem."""
    share: float | None = Field(default=None, gt=0, le=1)
    """Share of the mixture (`pack.share_of` says of what); None lets the source bring what it has."""
    epochs: float = Field(default=1, gt=0)
    """How often its documents are seen in one pass over the mixture; with a share, how often at most."""
    max_documents: int | None = Field(default=None, ge=1)
    """Use at most so many of its documents, before they are repeated."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Use at most so many tokens of it, before they are repeated."""

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
        if self.synthetic is None and self.held_out:
            raise ValueError(f"source {self.name!r}: held_out = true needs a synthetic source")
        if self.synthetic is not None and self.rows is None:
            raise ValueError(
                f"source {self.name!r}: a synthetic source needs rows, the number of rows to make"
            )
        if self.strip_reasoning and self.mode != "direct":
            raise ValueError(f"source {self.name!r}: strip_reasoning needs mode: direct; mode is {self.mode}")
        return self


class UnverifiedSettings(Settings):
    """What becomes of rows that no check decides: by mode where none applies, and where two contradict."""

    think: KeepOrDrop = "drop"
    direct: KeepOrDrop = "keep"
    disputed: KeepOrDrop = "drop"
    """Rows on which two comparators disagree, in either mode."""


class ThinkSettings(Settings):
    """Bounds on the thought."""

    min_characters: int = Field(default=1, ge=1)
    """A thought with fewer characters counts as empty."""
    max_repeated_ngram_share: Share | None = None
    """Refuse a thought in which more than this share of the 8-word runs are repeats; None switches it off."""
    max_repeats_in_a_row: int | None = Field(default=5, ge=2)
    """Refuse a thought in which one passage comes more often than this in a row, over 50 words or more; None
    switches it off."""
    max_words: int | None = Field(default=None, ge=1)
    """A thought with more words is over budget."""
    max_characters: int | None = Field(default=None, ge=1)
    """A thought with more characters is over budget."""
    language: str | None = Field(default=None, min_length=2)
    """The language of the thought: a code such as "en", or "prompt" for that of the prompt; None for any."""


class MajoritySettings(Settings):
    """When the answer that most traces of one prompt give stands in for a reference answer."""

    min_traces: int = Field(default=3, ge=2)
    """Traces with an answer that a prompt needs before any of them is judged."""
    min_share: float = Field(default=0.5, gt=0, le=1)
    """Share of a prompt's traces that must give the answer, those without an answer counted in."""


class InstructionsSettings(Settings):
    """How closely an answer is held to its instructions."""

    reading: Reading = "strict"
    """strict, or loose as IFEval means it: also without the first line, the last line or the asterisks."""


class SandboxSettings(Settings):
    """What must hold the programs of code rows."""

    require: list[str] = ["namespaces", "seccomp", "rlimits"]
    """Layers without which no program is run; `namespaces` stands for all six of them."""

    @field_validator("require")
    @classmethod
    def _layers_are_known(cls, names: list[str]) -> list[str]:
        layers_named(names)
        return names


class CodeSettings(Settings):
    """How an answer's program is run."""

    seconds: float = Field(default=10, gt=0)
    """Processor time of one program: all calls of one answer together, or one run on one input."""
    wall_seconds: float = Field(default=30, gt=0)
    """The same on the clock on the wall; wide, so that a busy machine refutes nobody."""
    memory_megabytes: int = Field(default=1024, ge=64)
    output_megabytes: int = Field(default=16, ge=1)
    """What a program may print, and what its results may take as text."""
    inseparable_tests: Literal["unverified", "shared_process"] = "unverified"
    """Tests that need the answer's code in their own process: leave the row unverified, or run them there, where a
    hostile answer could forge the verdict."""


class RefusalSettings(Settings):
    """Rows whose answer turns its request down, found by its wording."""

    harmless: KeepOrDrop = "keep"
    """Rows that refuse in full, unless their category is in `right_for`; a row without a category counts as harmless.
    Dropped or kept, they are rejected sides of preference pairs."""
    right_for: list[str] = ["minor_specific_harm", "exploitation_and_trafficking", "suicide_and_self_harm"]
    """Categories, as rows have them in `meta.category`, of requests that a refusal is the right answer to: there it is
    the chosen side of a pair, and evaluation counts it on its own."""


class VerifySettings(Settings):
    """How rows are verified."""

    unverified: UnverifiedSettings = UnverifiedSettings()
    math_timeout_seconds: float = Field(default=0.6, gt=0)
    """Seconds for all symbolic comparisons of one answer before their worker is killed."""
    guard_seconds: float = Field(default=1, gt=0)
    """Time for one puzzle's scorer or one costly JSON schema, in seconds, before it is killed."""
    max_answer_characters: int = Field(default=2000, ge=1)
    """Longer extracted answers are not given to the symbolic comparison."""
    think: ThinkSettings = ThinkSettings()
    majority: MajoritySettings | None = None
    """Judge think rows without a task by the majority of their prompt's traces; None leaves them unverified."""
    instructions: InstructionsSettings = InstructionsSettings()
    refusals: RefusalSettings = RefusalSettings()
    code: CodeSettings = CodeSettings()
    sandbox: SandboxSettings = SandboxSettings()


class NearDuplicatesSettings(Settings):
    """When two rows that are not the same count as near duplicates."""

    threshold: float = Field(default=0.8, ge=0.5, le=1)
    """Share of their word runs, of all that either has, that two rows must have in common (Jaccard); with `by: trace`
    prompts and answers must each reach it."""
    ngram: int = Field(default=5, ge=1)
    """Length of a word run."""


class DuplicatesSettings(Settings):
    """Which duplicates are taken out; the first row in the order of the sources is kept."""

    by: Literal["trace", "prompt"] = "trace"
    """What is compared: whole conversations, so that several traces of one prompt stay, or prompts alone."""
    exact: bool = True
    """Take out rows that were seen before, up to blanks and Unicode spelling."""
    near: NearDuplicatesSettings | None = None
    """Take out rows that nearly were; None switches it off."""


class ContaminationSettings(Settings):
    """Which rows are too near to held-out problems."""

    against: list[str] = []
    """Files of held-out problems."""
    overlap: float = Field(default=0.5, gt=0, le=1)
    """Share of a prompt's word runs that may not be reached by one held-out problem."""
    ngram: int = Field(default=8, ge=1)
    """Length of a word run."""


class SlurmSettings(Settings):
    """The jobs of `executor: slurm`: one array of as many jobs as there are workers."""

    partition: str | None = None
    """None for HERMES_CPU_PARTITION or HERMES_PARTITION of the site's settings, or else Slurm's default."""
    account: str | None = None
    """None for HERMES_ACCOUNT of the site's settings, or else Slurm's default."""
    qos: str | None = None
    """None for HERMES_QOS of the site's settings, or else Slurm's default."""
    time: str | None = None
    """Time limit of a job, as Slurm writes it; None for HERMES_CPU_TIME of the site, or else the partition's."""
    cpus: int = Field(default=1, ge=1)
    """Cores of a worker."""
    memory_gigabytes_per_worker: int = Field(default=4, ge=1)
    sbatch: dict[str, str | int] = {}
    """Further options of sbatch by their long names, such as {reservation: data}."""


class RaySettings(Settings):
    """The tasks of `executor: ray`."""

    address: str = "auto"
    """Address of the cluster; "auto" finds the one that this machine belongs to, "local" starts one here."""
    cpus: int = Field(default=1, ge=1)
    """Cores of a worker."""
    memory_gigabytes_per_worker: int = Field(default=4, ge=1)


class EngineSettings(Settings):
    """Where and how wide filter and pack run."""

    executor: Literal["local", "slurm", "ray"] = "local"
    workers: int = Field(default=1, ge=1)
    """Worker processes, on all machines together."""
    tasks: int | None = Field(default=None, ge=1)
    """Shards of the work, the unit that a rerun skips; None for at least four per worker and at most 20,000 rows
    in each."""
    output: Literal["jsonl", "parquet"] = "jsonl"
    """Form of the kept and the rejected rows."""
    slurm: SlurmSettings = SlurmSettings()
    ray: RaySettings = RaySettings()


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

    @model_validator(mode="after")
    def _shares_leave_room(self) -> Self:
        shares = [source.share for source in self.sources if source.share is not None]
        without = [source.name for source in self.sources if source.share is None]
        total = sum(shares)
        if shares and without and total > 1 - _SHARE_ROUNDING:
            raise ValueError(
                f"the shares add up to {total:g} and leave nothing for {', '.join(without)}, without a share; lower "
                "the shares or give it one"
            )
        if shares and not without and abs(total - 1) > _SHARE_ROUNDING:
            raise ValueError(
                f"all sources have a share, and the shares add up to {total:g}; make them add up to 1, or leave one out"
            )
        return self
