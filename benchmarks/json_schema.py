"""Checks of JSON answers per second: this project's whole check against what jsonschema and fastjsonschema do.

    .venv/bin/pip install jsonschema fastjsonschema
    .venv/bin/python benchmarks/json_schema.py [--seconds 3] [--json FILE]

One process, one core. Each peer gets the same texts and the same schemas, compiled beforehand: ours reads the text,
looks for keys given twice, finds the compiled schema and judges; a peer reads the text with json.loads and judges.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_filters.samples import JsonSchemaTask, Outcome
from data_filters.verifiers import json_schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
        "customer": PERSON,
        "paid": {"type": "boolean"},
        "lines": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "article": {"type": "string"},
                    "count": {"type": "integer", "minimum": 1},
                    "price": {"type": "number", "exclusiveMinimum": 0},
                    "unit": {"enum": ["piece", "kg", "m"]},
                },
                "required": ["article", "count", "price"],
            },
        },
    },
    "required": ["id", "customer", "lines"],
}
_LINE = {"article": "screw", "count": 3, "price": 1.25, "unit": "piece"}
_ORDER = {"id": "AB-1234", "customer": {"name": "Mia", "age": 41}, "paid": True, "lines": [_LINE] * 4}
CASES: dict[str, tuple[dict[str, Any], list[tuple[str, bool]]]] = {
    "person": (
        PERSON,
        [
            ('{"name": "Mia", "age": 5}', True),
            ('{"name": "Mia", "age": "5"}', False),
            ('{"name": "Mia"}', False),
        ],
    ),
    "order": (
        ORDER,
        [
            (json.dumps(_ORDER), True),
            (json.dumps(_ORDER | {"id": "AB-12"}), False),
            (json.dumps(_ORDER | {"lines": [*[_LINE] * 3, _LINE | {"count": 0}]}), False),
        ],
    ),
}
"""A schema with the texts to judge and what is true of each."""

Judge = Callable[[str], bool]


def ours(schema: dict[str, Any]) -> Judge:
    """The whole check of this project, from text to verdict with a message."""
    task = JsonSchemaTask(schema)
    return lambda text: json_schema.check(task, text, seconds=1).outcome == Outcome.VERIFIED


def with_jsonschema(schema: dict[str, Any]) -> Judge:
    """The reference implementation, which interprets the schema."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema)
    return lambda text: bool(validator.is_valid(json.loads(text)))


def with_fastjsonschema(schema: dict[str, Any]) -> Judge:
    """The peer that writes a Python function for the schema."""
    import fastjsonschema

    validate = fastjsonschema.compile(schema | {"$schema": "http://json-schema.org/draft-07/schema#"})

    def judge(text: str) -> bool:
        try:
            validate(json.loads(text))
        except fastjsonschema.JsonSchemaValueException:
            return False
        return True

    return judge


PEERS = {"ours": ours, "jsonschema": with_jsonschema, "fastjsonschema": with_fastjsonschema}


def rate(judge: Judge, texts: list[str], seconds: float) -> float:
    """Texts judged per second of processor time, over at least `seconds`."""
    done = 0
    started = time.process_time()
    while (spent := time.process_time() - started) < seconds:
        for _ in range(100):
            for text in texts:
                judge(text)
        done += 100 * len(texts)
    return done / spent


def measure(seconds: float) -> list[dict[str, Any]]:
    """One row per schema and implementation: checks per second on valid and on broken texts."""
    rows = []
    for name, (schema, labelled) in CASES.items():
        for peer, make in PEERS.items():
            judge = make(schema)
            wrong = [text for text, valid in labelled if judge(text) != valid]
            if wrong:
                raise SystemExit(f"{peer} judges {wrong[0]!r} of {name} wrongly")
            rows.append(
                {
                    "schema": name,
                    "implementation": peer,
                    "valid_per_second": rate(judge, [text for text, valid in labelled if valid], seconds),
                    "broken_per_second": rate(
                        judge, [text for text, valid in labelled if not valid], seconds
                    ),
                }
            )
    return rows


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3, help="processor time of each figure")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    rows = measure(options.seconds)
    print(f"{'schema':8} {'implementation':16} {'valid/s':>12} {'broken/s':>12}")  # noqa: T201  (the script's output)
    for row in rows:
        figures = f"{row['valid_per_second']:12,.0f} {row['broken_per_second']:12,.0f}"
        print(f"{row['schema']:8} {row['implementation']:16} {figures}")  # noqa: T201
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
