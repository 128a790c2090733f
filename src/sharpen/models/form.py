"""The prompt form a model is at its best with, where that is known."""

from __future__ import annotations

from pathlib import Path

from sharpen.core.policy import Style
from sharpen.core.records import Record, decode

FORM_FILE = "sharpen.json"
"""Stands in an exported model's folder and holds the form it was improved with."""


class DefaultForm(Record):
    """Style and number of solved examples."""

    style: Style = Style.PLAIN
    shots: int = 4


_KNOWN = {
    "tiny": DefaultForm(shots=0),
    "bargainer": DefaultForm(shots=0),
    "bargainer-weak": DefaultForm(shots=0),
    "seeker": DefaultForm(shots=0),
    "offhand": DefaultForm(shots=0),
    "ponder": DefaultForm(shots=0),
    "gossip": DefaultForm(shots=0),
    "scripted": DefaultForm(shots=0),
    "none": DefaultForm(shots=0),
    "openai": DefaultForm(style=Style.CHAT, shots=0),
}


def default_form(model: str) -> DefaultForm:
    """The form for a model's name: known, stored beside its weights, or four plain examples."""
    stored = Path(model) / FORM_FILE
    if stored.is_file():
        return decode(DefaultForm, stored.read_bytes())
    return _KNOWN.get(model.partition(":")[0], DefaultForm())
