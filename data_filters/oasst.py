"""OpenAssistant's message trees as conversations: one tree, one conversation, the best-ranked reply at each step.

One row, its messages cut to the fields that are read:

    {"message_tree_id": "054e", "tree_state": "ready_for_export",
     "prompt": {"role": "prompter", "text": "2+2?", "lang": "en", "review_result": true, "deleted": false, "replies": [
       {"role": "assistant", "text": "4", "lang": "en", "rank": 0, "review_result": true, "deleted": false,
        "replies": []},
       {"role": "assistant", "text": "Four?", "lang": "en", "rank": 1, "review_result": true, "deleted": false,
        "replies": []}]}}

A tree has as many paths as leaves, but they share their first turns, and a row is one sample everywhere else. So the
path that people liked best is taken and the others are left out:

- A reply counts when it is by the other speaker, in the language of the prompt, not deleted and not refused by its
  reviewers (`review_result: false`); what hangs below a reply that does not count is out of reach.
- Of the replies that count, the one of the lowest rank is taken (0 is the best). Replies without a rank come after
  those with one, in the order of the file. A prompter's replies are seldom ranked: those that an assistant answers
  come first.
- The path ends where nobody goes on; a last turn of the prompter, which nobody answers, is dropped.
"""

from __future__ import annotations

from data_filters.row_fields import Row, RowError, kind_of, read_text
from data_filters.samples import Message, Role

_ROLES: dict[str, Role] = {"prompter": "user", "assistant": "assistant"}
_READY = "ready_for_export"
"""The state of a tree that is grown, reviewed and ranked; the others were left unfinished or taken down."""


def is_tree(row: Row) -> bool:
    """Whether a row is a message tree and no flat message."""
    return isinstance(row.get("prompt"), dict) and "replies" in row["prompt"]


def read_tree(row: Row) -> list[Message]:
    """Return the conversation along the best-ranked replies: it ends with an assistant's turn, or is the prompt alone.

    Raises RowError: `tree_not_ready`, `tree_prompt_refused`, or a slug for a tree that is not well formed.
    """
    state = row.get("tree_state", _READY)
    if state != _READY:
        raise RowError("tree_not_ready", f"tree_state is {state!r}; only trees that are {_READY} are taken")
    prompt = row.get("prompt")
    if not isinstance(prompt, dict):
        raise RowError("no_messages", f"prompt is the first message; here it is {kind_of(prompt)}")
    if _role(prompt) != "user":
        raise RowError("unknown_role", "a tree begins with a prompter; this one begins with an assistant")
    if not _is_accepted(prompt):
        raise RowError(
            "tree_prompt_refused", "the tree's first message was deleted or refused by its reviewers"
        )
    path = _best_path(prompt)
    if len(path) > 1 and _role(path[-1]) == "user":
        path.pop()
    return [Message(_role(turn), read_text(turn.get("text"), "text")) for turn in path]


def _best_path(prompt: Row) -> list[Row]:
    path = [prompt]
    while replies := _counting_replies(path[-1], prompt.get("lang")):
        path.append(min(replies, key=lambda reply: _order(reply, prompt.get("lang"))))
    return path


def _counting_replies(message: Row, language: object) -> list[Row]:
    """The replies that may be taken, in the order of the file."""
    replies = message.get("replies") or []
    if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
        raise RowError("row_not_valid", f"replies is a list of messages; here it is {kind_of(replies)}")
    return [
        reply
        for reply in replies
        if _role(reply) != _role(message) and reply.get("lang") == language and _is_accepted(reply)
    ]


def _order(reply: Row, language: object) -> tuple[float, bool]:
    """Sort key of a reply, best first; equals keep the order of the file."""
    rank = reply.get("rank")
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int)):
        raise RowError("row_not_valid", f"rank is a number from 0 on; here it is {kind_of(rank)}")
    is_left_unanswered = _role(reply) == "user" and not _counting_replies(reply, language)
    return (float("inf") if rank is None else rank, is_left_unanswered)


def _role(message: Row) -> Role:
    speaker = message.get("role")
    if not isinstance(speaker, str) or speaker not in _ROLES:
        raise RowError("unknown_role", f"role {speaker!r} is not one of {', '.join(_ROLES)}")
    return _ROLES[speaker]


def _is_accepted(message: Row) -> bool:
    """Whether a message stands and no reviewers refused it; a message that nobody reviewed is not refused."""
    return not message.get("deleted") and message.get("review_result") is not False
