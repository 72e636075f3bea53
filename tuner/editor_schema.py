"""The sweep file's JSON schema for editors: what the file's classes say, and what they leave to the search space.

An editor completes the settings of a segmentation and shows what they mean, but takes others too, since a training run
of the user's own has its own.
"""

import json
from dataclasses import fields
from typing import Any

from trainables.segmentation_config import SegmentationConfig
from tuner.config import SweepConfig
from tuner.docstrings import attribute_docstrings

Schema = dict[str, Any]

_SIZE: Schema = {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3}
_VALUE: Schema = {"anyOf": [{"type": ["string", "number", "boolean"]}, _SIZE]}
_LOG: Schema = {"type": "boolean", "description": "Search the logarithm: 1e-4 to 1e-3 is as wide as 1e-3 to 1e-2."}


def _range(kind: str, number: str) -> Schema:
    bounds = {"type": "array", "items": {"type": number}, "minItems": 2, "maxItems": 2, "description": "[low, high]"}
    step = {"type": number, "exclusiveMinimum": 0, "description": "Distance of the grid low, low + step, ..., high."}
    return _form({kind: bounds, "log": _LOG, "step": step}, needed=kind)


def _form(properties: Schema, *, needed: str) -> Schema:
    return {"type": "object", "properties": properties, "required": [needed], "additionalProperties": False}


PARAMETER: Schema = {
    "anyOf": [
        _range("float", "number"),
        _range("int", "integer"),
        _form({"choice": {"type": "array", "items": _VALUE, "minItems": 2, "uniqueItems": True}}, needed="choice"),
        *_VALUE["anyOf"],
    ]
}
"""What may stand below a name in `space`, as `search_spaces.space` reads it."""


def editor_schema() -> Schema:
    """The schema by JSON Schema's draft 2020-12."""
    schema = SweepConfig.model_json_schema()
    schema["$defs"] |= {"Parameter": PARAMETER, "Value": _VALUE}
    told = attribute_docstrings(SegmentationConfig)
    for key, kind in (("space", "Parameter"), ("training", "Value"), ("default", "Value")):
        reference = {"$ref": f"#/$defs/{kind}"}
        schema["properties"][key] |= {
            "properties": {
                field.name: {**reference, "description": _setting(told[field.name], field.default)}
                for field in fields(SegmentationConfig)
            },
            "additionalProperties": reference,
        }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Sweep file of voxtune"}


def _setting(meaning: str, default: Any) -> str:
    return f"{' '.join(meaning.split())} Default: {json.dumps(default)}."
