"""JSON schemas that replies are held against: those whose check takes bounded time, and nothing else.

A client's schema and a model's reply are both foreign. References are put in place beforehand, up to a
number of nodes, so that none can multiply work or be followed elsewhere; patterns, whose search may take for
ever, are refused like every word that is not acted on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import JsonValue
from referencing import Registry

from sharpen.models.dialogue import read_json

MOST_NODES = 2000
DEEPEST = 40
_NOTES = {
    *("$schema", "$id", "$comment", "title", "description", "default", "examples", "format", "deprecated"),
    *("discriminator", "readOnly", "writeOnly"),
}
"""Words that say something about values and forbid none."""
_PLAIN = {
    *("type", "enum", "const", "required", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("multipleOf", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
}
_ONE = {"items", "additionalProperties", "not"}
_LIST = {"anyOf", "oneOf", "prefixItems"}
_NAMED = {"properties"}
_DEFINED = ("$defs", "definitions")


@dataclass(frozen=True)
class Form:
    """A schema that was checked, without references."""

    json_schema: Mapping[str, JsonValue]

    @classmethod
    def of(cls, schema: Mapping[str, JsonValue]) -> Form:
        """ValueError for a schema that is none, is too large, or says what is not acted on."""
        try:
            whole = _Unfolding(schema).node(dict(schema), 0, ())
            assert isinstance(whole, dict)
            Draft202012Validator.check_schema(whole)
        except SchemaError as error:
            raise ValueError(f"is no JSON schema: {error.message[:200]}") from None
        return cls(whole)

    @property
    def request(self) -> str:
        """How it is said to a model that cannot be held to it."""
        return f"Answer with nothing but JSON that fits this schema: {json.dumps(self.json_schema)}"

    def problem(self, text: str) -> str | None:
        """Why a text does not fit; None if it does."""
        found = read_json(text)
        if found is None and text.strip() != "null":
            return "it is no JSON"
        checker = Draft202012Validator(self.json_schema, registry=Registry())
        error = next(checker.iter_errors(found), None)
        if error is None:
            return None
        return f"at {error.json_path[:100]}: {error.message[:200]}"


class _Unfolding:
    """Puts the definitions of one schema in the place of the references to them."""

    def __init__(self, schema: Mapping[str, JsonValue]) -> None:
        self._schema, self._nodes = schema, 0

    def node(self, node: JsonValue, depth: int, open_: tuple[str, ...]) -> JsonValue:
        """A schema without references; `open_` are the definitions that it stands in."""
        self._nodes += 1
        if self._nodes > MOST_NODES or depth > DEEPEST:
            raise ValueError(f"has more than {MOST_NODES} parts, or more than {DEEPEST} within each other")
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            raise ValueError("is no JSON schema: a part of it is no object")
        made: dict[str, JsonValue] = {}
        all_of: list[JsonValue] = []
        for word, value in node.items():
            if word == "$ref":
                all_of.append(self._defined(value, depth, open_))
            elif word == "allOf" and isinstance(value, list):
                all_of += [self.node(one, depth + 1, open_) for one in value]
            else:
                made |= self._word(word, value, depth, open_)
        return {**made, "allOf": all_of} if all_of else made

    def _word(self, word: str, value: JsonValue, depth: int, open_: tuple[str, ...]) -> dict[str, JsonValue]:
        if word in _DEFINED:
            return {}
        if word in _NOTES:
            return {word: value} if word in ("title", "description") else {}
        if word in _PLAIN:
            return {word: value}
        if word in _ONE:
            return {word: self.node(value, depth + 1, open_)}
        if word in _LIST and isinstance(value, list):
            return {word: [self.node(one, depth + 1, open_) for one in value]}
        if word in _NAMED and isinstance(value, dict):
            return {word: {name: self.node(one, depth + 1, open_) for name, one in value.items()}}
        raise ValueError(f"{word[:60]!r} is not supported in a schema")

    def _defined(self, place: JsonValue, depth: int, open_: tuple[str, ...]) -> JsonValue:
        start, _, name = str(place).rpartition("/")
        group = self._schema.get(start.removeprefix("#/"))
        if start.removeprefix("#/") not in _DEFINED or not isinstance(group, dict) or name not in group:
            raise ValueError(f"the reference {str(place)[:60]!r} leads nowhere in it")
        if name in open_:
            raise ValueError(f"the definition {name[:60]!r} refers to itself, which is not supported")
        return self.node(group[name], depth + 1, (*open_, name))
