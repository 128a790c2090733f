"""The prompt form a model is at its best with, where that is known."""

from __future__ import annotations

from pathlib import Path

from sharpen.core.policy import Style
from sharpen.core.records import Record, decode
from sharpen.models.source import ENDPOINTS, shipped, without_options

FORM_FILE = "sharpen.json"
"""Stands in an exported model's folder and holds the form it was improved with."""


class DefaultForm(Record):
    """Style and number of solved examples."""

    style: Style = Style.PLAIN
    shots: int = 4


WITHOUT_EXAMPLES = DefaultForm(shots=0)
_KNOWN = {
    "scripted": WITHOUT_EXAMPLES,
    "none": WITHOUT_EXAMPLES,
    **{kind: DefaultForm(style=Style.CHAT, shots=0) for kind in ENDPOINTS},
}


def default_form(model: str) -> DefaultForm:
    """The form for a model's name: known, stored beside its weights, or four plain examples.

    Shipped models were trained without examples.
    """
    model = without_options(model)
    stored = Path(model) / FORM_FILE
    if stored.is_file():
        return decode(DefaultForm, stored.read_bytes())
    kind, _, inner = model.partition(":")
    if kind == "vllm":
        return default_form(inner.partition("?")[0])
    if model in shipped():
        return WITHOUT_EXAMPLES
    return _KNOWN.get(kind, DefaultForm())
