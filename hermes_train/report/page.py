"""The view models of all sections -> one self-contained page."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from hermes_train.report.load import Run
from hermes_train.report.notation import moment
from hermes_train.report.views.answers import AnswersView, answers_view
from hermes_train.report.views.export import ExportView, export_view
from hermes_train.report.views.funnel import FunnelView, funnel_view
from hermes_train.report.views.overview import Overview, overview
from hermes_train.report.views.packs import PacksView, packs_view
from hermes_train.report.views.scores import ScoresView, scores_view
from hermes_train.report.views.training import TrainingStageView, training_views

if TYPE_CHECKING:
    from jinja2 import Template

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Provenance:
    """When a stage finished and the fingerprints of what it read."""

    stage: str
    finished: str
    inputs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Page:
    """Everything that the template shows. A section is None while its stage is not done."""

    overview: Overview
    scores: ScoresView
    answers: AnswersView
    funnel: FunnelView | None
    packs: PacksView | None
    training: tuple[TrainingStageView, ...]
    export: ExportView | None
    provenance: tuple[Provenance, ...]
    recipe: str | None


def page(run: Run) -> Page:
    """Return the view model of the whole page."""
    return Page(
        overview=overview(run),
        scores=scores_view(run.scores),
        answers=answers_view(run.answers),
        funnel=funnel_view(run.filter) if run.filter else None,
        packs=packs_view(run.pack) if run.pack else None,
        training=training_views(run),
        export=export_view(run.export) if run.export else None,
        provenance=tuple(
            Provenance(
                stage,
                moment(manifest.finished),
                tuple((name, str(fingerprint)) for name, fingerprint in manifest.inputs.items()),
            )
            for stage, manifest in run.manifests.items()
        ),
        recipe=run.recipe,
    )


def render(view: Page) -> str:
    """Return the page as HTML. All text of the run is escaped; the page runs and loads only its own parts."""
    style, script = _part("page.css"), _part("page.js")
    context: dict[str, Any] = {
        "page": view,
        "style": Markup(style),
        "script": Markup(script),
        "policy": _policy(style, script),
    }
    html = _template().render(context)
    # A lone half of a surrogate pair, which JSON can spell, cannot be written as UTF-8.
    return html.encode("utf-8", errors="replace").decode("utf-8")


@cache
def _template() -> Template:
    # Imported here so that the command line can offer the report without loading a template engine.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")


def _part(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Allow only this very style and script: a model's text that slipped through could still do nothing."""
    return (
        f"default-src 'none'; img-src data:; style-src {_fingerprint(style)}; "
        f"script-src {_fingerprint(script)}; base-uri 'none'; form-action 'none'"
    )


def _fingerprint(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
