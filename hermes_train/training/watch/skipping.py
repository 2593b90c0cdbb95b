"""`skip_documents`: which documents a stage is to take no labels from."""

from __future__ import annotations

import json
from pathlib import Path

from data_filters.errors import UserError


def entries_of(skip_documents: str | list[str] | None) -> list[str]:
    """Return the entries of the setting, which may be one, several or none."""
    if skip_documents is None:
        return []
    return [skip_documents] if isinstance(skip_documents, str) else skip_documents


def skipped_documents(entries: str | list[str] | None) -> frozenset[str]:
    """Return the ids that `skip_documents` names. An entry that ends in `.json` is a file; any other is an id.

    Raises UserError for a file that is not there or of another form than `stopped_at_step_<n>.json`:
    {"step": 731, "loss": "nan", "grad_norm": "nan", "documents": ["gsm8k/17", "chats/4#2"]}
    """
    identities: set[str] = set()
    for entry in entries_of(entries):
        identities |= set(_documents_of(Path(entry))) if entry.endswith(".json") else {entry}
    return frozenset(identities)


def _documents_of(path: Path) -> list[str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"skip_documents names {path}, which is not there") from error
    except json.JSONDecodeError as error:
        raise UserError(f"skip_documents names {path}, which is no JSON: {error}") from error
    documents = content.get("documents") if isinstance(content, dict) else None
    if not isinstance(documents, list) or not all(isinstance(identity, str) for identity in documents):
        raise UserError(
            f'skip_documents names {path}, which has no list "documents" of ids; give a stopped_at_step_<n>.json'
        )
    return documents
