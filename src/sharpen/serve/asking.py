"""What clients may ask for beside words, as records: pictures, functions, JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from sharpen.core.dialogue import Call, Calling, Picture, Shape, Tool
from sharpen.core.task import Message, Role
from sharpen.models.dialogue import read_arguments
from sharpen.serve.schemas import DEEPEST, Form
from sharpen.tasks.shown import picture_in

MOST_TOOLS = 128
NAME = r"^[a-zA-Z0-9_.-]{1,64}$"


class TextPart(BaseModel):
    """Words."""

    type: Literal["text"]
    text: str


class ImageUrl(BaseModel):
    """Where a picture is: in the request itself; nothing is fetched."""

    url: str

    @field_validator("url")
    @classmethod
    def _here(cls, url: str) -> str:
        if not url.startswith("data:"):
            raise ValueError("only data: URLs are taken; nothing is fetched")
        return url


class ImagePart(BaseModel):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageUrl

    def picture(self) -> Picture:
        """The picture, decoded once to see that it is one; BadInput if it is none."""
        return picture_in(self.image_url.url)


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class CalledFunction(BaseModel):
    """What was called with what."""

    name: Annotated[str, Field(pattern=NAME)]
    arguments: str

    @field_validator("arguments")
    @classmethod
    def _object(cls, arguments: str) -> str:
        if read_arguments(arguments or "{}") is None:
            raise ValueError("arguments are no JSON object")
        return arguments


class ToolCall(BaseModel):
    """A call that an assistant made before."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction

    def call(self) -> Call:
        """The call as messages hold it."""
        return Call(
            name=self.function.name, arguments=read_arguments(self.function.arguments or "{}"), id=self.id
        )


class Said(BaseModel):
    """A message of the dialogue."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=MOST_TOOLS)] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Said:
        if self.content is None and not self.tool_calls:
            raise ValueError("a message without tool_calls needs content")
        return self

    @property
    def shown(self) -> int:
        """How many pictures it shows."""
        return sum(isinstance(part, ImagePart) for part in self.content or ())

    def message(self) -> Message:
        """The message as tasks hold it."""
        parts = [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content
        return Message(
            role=Role.SYSTEM if self.role == "developer" else Role(self.role),
            content="".join(part.text for part in parts or () if isinstance(part, TextPart)),
            pictures=tuple(part.picture() for part in parts or () if isinstance(part, ImagePart)),
            calls=tuple(call.call() for call in self.tool_calls or ()),
            answers=self.tool_call_id or "",
        )


class Function(BaseModel):
    """A function that may be called."""

    model_config = ConfigDict(extra="ignore")
    name: Annotated[str, Field(pattern=NAME)]
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None

    @field_validator("parameters")
    @classmethod
    def _shallow(cls, parameters: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if _beyond(parameters, DEEPEST):
            raise ValueError(f"more than {DEEPEST} levels within each other")
        return parameters


def _beyond(value: JsonValue, levels: int) -> bool:
    """Whether there are more levels in a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_beyond(one, levels - 1) for one in inner)


class Offered(BaseModel):
    """A function among the tools."""

    type: Literal["function"]
    function: Function

    def tool(self) -> Tool:
        """The function as models are offered it."""
        known = self.function
        return Tool(
            name=known.name,
            description=known.description or "",
            parameters=known.parameters or {"type": "object", "properties": {}},
        )


class NamedFunction(BaseModel):
    """Which one has to be called."""

    name: str


class Named(BaseModel):
    """One function has to be called."""

    type: Literal["function"]
    function: NamedFunction


class JsonSchema(BaseModel):
    """A schema with its name."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)
    name: str = ""
    schema_: Annotated[dict[str, JsonValue], Field(alias="schema")]


class Format(BaseModel):
    """What the reply has to be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def form(self) -> Form | None:
        """What to hold the reply against; None for words. ValueError for a schema that is not acted on."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return Form.of({"type": "object"})
        if self.json_schema is None:
            raise ValueError("json_schema is missing")
        return Form.of(self.json_schema.schema_)


Choice = Literal["none", "auto", "required"] | Named
"""What `tool_choice` may be."""


def shape_of(tools: list[Offered], choice: Choice | None) -> Shape:
    """What may and must be called; ValueError for a choice that is not among the tools."""
    offered = tuple(one.tool() for one in tools)
    if len({tool.name for tool in offered}) < len(offered):
        raise ValueError("two tools have one name")
    if isinstance(choice, Named):
        chosen = tuple(tool for tool in offered if tool.name == choice.function.name)
        if not chosen:
            raise ValueError(f"there is no tool {choice.function.name[:80]!r}")
        return Shape(tools=chosen, calling=Calling.MUST)
    if choice == "required" and not offered:
        raise ValueError("there are no tools to be called")
    if choice == "none":
        return Shape()
    return Shape(tools=offered, calling=Calling.MUST if choice == "required" else Calling.MAY)
