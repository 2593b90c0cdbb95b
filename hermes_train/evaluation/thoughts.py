"""Thoughts sampled from the current model up to a budget; those that did not end are closed by force and answered.

Length control as the Hermes 4 report has it (section 3.1): the model that SFT made thinks about problems of the data;
where its thought is not closed after `budget` tokens, the thought is cut there, `</think>` is put after it, and the
model itself answers, without another tag of a thought. The result is trained on `</think>` and the end token alone.

One row of `part-00003.jsonl`:

    {"id": "sums/17", "outcome": "closed_by_force", "thought_tokens": 64,
     "sample": {"id": "sums/17#cut", "source": "sums", "messages": [{"role": "user", "content": "What is 4 + 7 ...?"},
                {"role": "assistant", "content": "The answer is $\\boxed{31}$.", "reasoning": "4 + 7 = 11\\n11 +",
                 "train": "close_think"}]}}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from transformers import PreTrainedModel

from data_filters.samples import Message, Mode, Sample
from hermes_train.chat.history import cut_thought
from hermes_train.chat.problems import DocumentError
from hermes_train.chat.template import THINK_CLOSE, THINK_OPEN
from hermes_train.evaluation.generate import Sampling, continue_batch, encode, end_tokens, opens_thought
from hermes_train.packing.documents import DocumentMaker
from hermes_train.packing.hybrid import purpose_seed
from hermes_train.recipe.training_sections import LengthControl

_TOKENS_AROUND = 4
"""More tokens than a template writes between its prompt and the thought: the opening tag and a blank line."""

_NOT_A_CHARACTER = "\ufffd"
"""What a tokenizer shows for the first bytes of a character whose last ones were cut off."""


class ThoughtOutcome(StrEnum):
    """What became of one prompt."""

    CLOSED = "closed"
    """The thought ended within the budget: the model needs no help."""
    CLOSED_BY_FORCE = "closed_by_force"
    """Cut at the budget, closed and answered: a row of length control."""
    NOT_OPENED = "not_opened"
    """The answer did not begin with a thought."""
    ENDED_OPEN = "ended_open"
    """The turn ended inside the thought."""
    ANSWER_UNFINISHED = "answer_unfinished"
    """The answer after the forced close did not end within its tokens."""
    ANSWER_EMPTY = "answer_empty"
    """The turn ended at once after the forced close: the end token must not be learnt there."""
    NOT_RENDERED = "not_rendered"
    """The chat template cannot show the conversation, or the cut thought in it."""

    @property
    def passed_budget(self) -> bool:
        """Whether the thought was still open when the budget was used up."""
        return self in _PASSED_BUDGET


_PASSED_BUDGET = frozenset(
    {ThoughtOutcome.CLOSED_BY_FORCE, ThoughtOutcome.ANSWER_UNFINISHED, ThoughtOutcome.ANSWER_EMPTY}
)


class SampledThought(msgspec.Struct, frozen=True):
    """What became of one prompt; `sample` is the row of length control where there is one."""

    id: str
    outcome: ThoughtOutcome
    thought_tokens: int = 0
    """Tokens of the thought, at most the budget."""
    sample: Sample | None = None


@dataclass(frozen=True)
class _OpenThought:
    """A thought that was cut at the budget, and the tokens after which the model answers."""

    problem: Sample
    thought: str
    prefix: list[int]


class ThoughtSampler:
    """Samples thoughts of one model, batch by batch."""

    def __init__(
        self, model: PreTrainedModel, maker: DocumentMaker, control: LengthControl, seed: int
    ) -> None:
        self._model = model
        self._maker = maker
        self._control = control
        self._seed = seed
        self._open, self._close = maker.tokenizer.convert_tokens_to_ids([THINK_OPEN, THINK_CLOSE])
        self._ends = set(end_tokens(model))

    def sample(self, problems: Sequence[Sample]) -> list[SampledThought]:
        """Return what becomes of each problem of one batch, in order; their messages are the prompts."""
        rendered = [self._prompt(problem) for problem in problems]
        prompts = {place: prompt for place, prompt in enumerate(rendered) if prompt is not None}
        results: list[SampledThought | _OpenThought] = [
            SampledThought(problem.id, ThoughtOutcome.NOT_RENDERED) for problem in problems
        ]
        written = self._written([problems[place] for place in prompts], list(prompts.values()))
        for (place, prompt), ids in zip(prompts.items(), written, strict=True):
            results[place] = self._judged(problems[place], prompt, ids)
        answered = iter(self._answered([result for result in results if isinstance(result, _OpenThought)]))
        return [next(answered) if isinstance(result, _OpenThought) else result for result in results]

    def _prompt(self, problem: Sample) -> str | None:
        """Return the rendered prompt; None where the template cannot show it."""
        try:
            return self._maker.renderer.prompt(problem.messages, problem.tools, Mode.THINK, problem.id)
        except DocumentError:
            return None

    def _written(self, problems: Sequence[Sample], prompts: Sequence[str]) -> list[list[int]]:
        """Return the tokens that the model writes to the prompts of problems, up to the end of the thought."""
        if not prompts:
            return []
        return continue_batch(
            self._model,
            encode(self._maker.tokenizer, prompts),
            self._control.budget + _TOKENS_AROUND,
            self._sampling(problems, "thought"),
            stops=[self._close],
        )

    def _sampling(self, problems: Sequence[Sample], purpose: str) -> Sampling:
        control = self._control
        seeds = [purpose_seed(self._seed, f"{purpose} {problem.id}") for problem in problems]
        return Sampling(control.temperature, control.top_p, control.top_k, seeds)

    def _judged(self, problem: Sample, prompt: str, ids: list[int]) -> SampledThought | _OpenThought:
        """Tell how far the thought came; one that is open at the budget waits to be answered."""
        thought = self._thought(ids, opens_thought(prompt))
        if thought is None:
            return SampledThought(problem.id, ThoughtOutcome.NOT_OPENED)
        if len(thought) <= self._control.budget and ids[-1] == self._close:
            return SampledThought(problem.id, ThoughtOutcome.CLOSED, len(thought))
        if len(thought) < self._control.budget:
            return SampledThought(problem.id, ThoughtOutcome.ENDED_OPEN, len(thought))
        return self._cut(problem, thought[: self._control.budget])

    def _thought(self, ids: list[int], opened: bool) -> list[int] | None:
        """Return the tokens of the thought, without its tags and the blanks beside them; None where none was opened."""
        if not opened:
            if not ids or ids[0] != self._open:
                return None
            ids = ids[1:]
        start, end = 0, len(ids)
        if ids and ids[-1] in {self._close, *self._ends}:
            end -= 1
            while end > start and self._is_blank(ids[end - 1]):
                end -= 1
        while start < end and self._is_blank(ids[start]):
            start += 1
        return ids[start:end]

    def _is_blank(self, token: int) -> bool:
        return not self._maker.tokenizer.decode([token]).strip()

    def _cut(self, problem: Sample, thought: list[int]) -> SampledThought | _OpenThought:
        text = self._maker.tokenizer.decode(thought).rstrip(_NOT_A_CHARACTER).rstrip()
        # What stands in for the answer tells where the template lets it begin.
        row = _closed_by_force(problem, text, "x")
        try:
            rendered = self._maker.renderer.render(row)
        except DocumentError:
            return SampledThought(problem.id, ThoughtOutcome.NOT_RENDERED, len(thought))
        (prefix,) = encode(self._maker.tokenizer, [rendered.text[: rendered.given[-1].start]])
        return _OpenThought(problem, text, prefix)

    def _answered(self, waiting: Sequence[_OpenThought]) -> list[SampledThought]:
        """Let the model answer after the forced close."""
        if not waiting:
            return []
        answers = continue_batch(
            self._model,
            [item.prefix for item in waiting],
            self._control.answer_tokens,
            self._sampling([item.problem for item in waiting], "answer"),
            # A model that would think on closes the thought a second time, and no row may hold that.
            never=[self._open, self._close],
        )
        return [self._row(item, ids) for item, ids in zip(waiting, answers, strict=True)]

    def _row(self, item: _OpenThought, ids: list[int]) -> SampledThought:
        budget = self._control.budget
        if ids[-1] not in self._ends:
            return SampledThought(item.problem.id, ThoughtOutcome.ANSWER_UNFINISHED, budget)
        answer = self._maker.tokenizer.decode(ids[:-1]).strip()
        if not answer:
            return SampledThought(item.problem.id, ThoughtOutcome.ANSWER_EMPTY, budget)
        row = _closed_by_force(item.problem, item.thought, answer)
        return SampledThought(item.problem.id, ThoughtOutcome.CLOSED_BY_FORCE, budget, row)


def _closed_by_force(problem: Sample, thought: str, answer: str) -> Sample:
    messages = [*problem.messages, Message("assistant", answer)]
    return cut_thought(msgspec.structs.replace(problem, messages=messages), thought)
