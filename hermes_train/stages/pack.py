"""pack: kept rows into the documents, packs and pairs that the training stages read; training never tokenises."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from data_filters.errors import UserError
from data_filters.outputs import read_kept, read_rejected
from data_filters.pairs import build_pairs
from data_filters.samples import Mode, Sample
from data_filters.settings import Source
from hermes_train.chat.labels import ControlIds, Document
from hermes_train.chat.render import Renderer
from hermes_train.chat.template import FORMATS, THINK_CLOSE
from hermes_train.packing.bins import pack as pack_lengths
from hermes_train.packing.bins import round_up_to_multiple
from hermes_train.packing.documents import DocumentMaker, Tally
from hermes_train.packing.hybrid import closed_at_budget, draw, paired, plan_hybrid
from hermes_train.packing.mixture import Part, mix
from hermes_train.packing.preferences import tokenize_pairs
from hermes_train.packing.store import PackIndex, TokenStore, write_store
from hermes_train.recipe.schema import DpoSection, HybridSection, ModelSection, PackSection
from hermes_train.stages.prepare import TEMPLATE_FILE
from hermes_train.training.model import load_tokenizer

DOCUMENTS, INDEX = "documents.arrow", "index.npz"


@dataclass(frozen=True)
class PackInputs:
    """What the stage reads: two folders of earlier stages, and the sections that say what each training stage sees."""

    prepared: Path
    filtered: Path
    model: ModelSection
    sources: Sequence[Source]
    pack: PackSection
    sft_global_batch: int
    hybrid: HybridSection
    dpo: DpoSection
    seed: int


def make_packs(inputs: PackInputs, folder: Path) -> dict[str, Any]:
    """Write `sft/`, `hybrid/` and `dpo/` under `folder`. Returns the stage's figures. Raises UserError."""
    maker = document_maker(inputs.prepared, inputs.model)
    samples = list(read_kept(inputs.filtered))
    if not samples:
        raise UserError(f"the filter kept no row, so there is nothing to train on; see {inputs.filtered}")
    return {
        **_sft_packs(inputs, samples, maker, folder / "sft"),
        "hybrid": _hybrid_packs(inputs, samples, maker, folder / "hybrid"),
        "dpo": _dpo_pairs(inputs, samples, maker, folder / "dpo"),
    }


def document_maker(prepared: Path, model: ModelSection) -> DocumentMaker:
    """Return what renders and tokenises for the model in the folder of the prepare stage."""
    tokenizer = load_tokenizer(prepared / "model")
    chat_format = FORMATS[model.template]
    template = (prepared / TEMPLATE_FILE).read_text(encoding="utf-8")
    renderer = Renderer(template, chat_format, tokenizer.bos_token, model.system.think)
    ids = tokenizer.convert_tokens_to_ids
    begins_once = "bos_token" in template
    control = ControlIds(
        end_of_turn=ids(chat_format.end_of_turn),
        think_close=ids(THINK_CLOSE),
        bos=tokenizer.bos_token_id if begins_once else None,
    )
    return DocumentMaker(renderer, tokenizer, control)


def _sft_packs(
    inputs: PackInputs, samples: list[Sample], maker: DocumentMaker, folder: Path
) -> dict[str, Any]:
    tally = Tally()
    documents = maker.documents(samples, inputs.pack.history, inputs.pack.length, tally)
    write_store(folder / DOCUMENTS, documents)
    store = TokenStore(folder / DOCUMENTS)
    lengths = store.lengths()
    parts = {source.name: Part(source.share, source.epochs) for source in inputs.sources}
    chosen = mix(
        store.identities(),
        store.sources(),
        store.modes(),
        lengths,
        parts,
        inputs.pack.think_share,
        inputs.seed,
    )
    if not len(chosen):
        raise UserError(
            "the mixture is empty: a source or mode that the recipe gives a share has no documents; see the drops in "
            f"{folder.parent}"
        )
    index = _index(lengths, chosen, inputs.pack.length, inputs.sft_global_batch, inputs.seed)
    index.save(folder / INDEX)
    return _pack_figures(store, index) | {"sources": tally.rows()}


def _index(lengths: np.ndarray, chosen: np.ndarray, length: int, global_batch: int, seed: int) -> PackIndex:
    # In random order, so that each pack is a sample of the mixture.
    chosen = np.random.default_rng(seed).permutation(chosen)
    order, starts = pack_lengths(lengths[chosen], length)
    try:
        order, starts = round_up_to_multiple(order, starts, lengths[chosen], global_batch)
    except ValueError as error:
        raise UserError(str(error)) from error
    return PackIndex(chosen[order], starts, length)


def _pack_figures(store: TokenStore, index: PackIndex) -> dict[str, Any]:
    lengths, labels = store.lengths()[index.order], store.label_tokens()[index.order]
    modes = np.asarray([mode is Mode.THINK for mode in store.modes()])[index.order]
    counts, edges = np.histogram(lengths, bins=min(24, max(1, len(np.unique(lengths)))))
    return {
        "length": index.length,
        "packs": len(index),
        "documents": len(index.order),
        "tokens": int(lengths.sum()),
        "label_tokens": int(labels.sum()),
        "fill": float(lengths.sum() / (len(index) * index.length)),
        "think_tokens": int(lengths[modes].sum()),
        "direct_tokens": int(lengths[~modes].sum()),
        "length_histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def _hybrid_packs(
    inputs: PackInputs, samples: list[Sample], maker: DocumentMaker, folder: Path
) -> dict[str, Any]:
    section, seed = inputs.hybrid, inputs.seed
    control = section.length_control
    plan = plan_hybrid(section.problems, section.replay, control.share if control else 0.0)
    pairs = list(paired(samples, plan.paired_problems, seed))
    if not pairs:
        raise UserError(
            "the hybrid stage pairs each thought with a direct answer, but no kept row has a thought"
        )
    cut = closed_at_budget(samples, plan.length_control, control.budget, seed, maker) if control else []
    replay = draw(samples, plan.replay, seed, "replay")
    length = section.length or inputs.pack.length
    tally = Tally()
    documents: list[Document] = list(
        maker.documents([*pairs, *cut, *replay], inputs.pack.history, length, tally)
    )
    write_store(folder / DOCUMENTS, documents)
    store = TokenStore(folder / DOCUMENTS)
    index = _index(store.lengths(), np.arange(len(store)), length, section.global_batch, seed)
    index.save(folder / INDEX)
    return _pack_figures(store, index) | {
        "sources": tally.rows(),
        "paired_problems": len(pairs) // 2,
        "length_control_documents": len(cut),
        "replayed_documents": len(replay),
    }


def _dpo_pairs(
    inputs: PackInputs, samples: list[Sample], maker: DocumentMaker, folder: Path
) -> dict[str, Any]:
    section = inputs.dpo
    pairs = build_pairs(samples, read_rejected(inputs.filtered), inputs.seed, section.refusals, section.pairs)
    dropped: Counter[str] = Counter()
    rows = list(tokenize_pairs(pairs, maker, section.max_length, dropped))
    if len(rows) < section.global_batch:
        raise UserError(
            f"dpo has {len(rows)} pairs, fewer than its global_batch ({section.global_batch}); give more rows, a "
            "larger dpo.refusals or a smaller dpo.global_batch"
        )
    # A last step with fewer pairs would weigh them more; the few over a multiple are left out.
    whole = len(rows) - len(rows) % section.global_batch
    aside = folder.with_name(folder.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    Dataset.from_list(rows[:whole]).save_to_disk(str(aside))
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    return {"pairs": dict(Counter(row["kind"] for row in rows[:whole])), "dropped": dict(dropped)}
