"""From a request to the task that the policy is asked, if the policy can do what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sharpen.core.dialogue import FREE, Calling, Shape
from sharpen.core.errors import BadInput
from sharpen.core.policy import Style
from sharpen.core.task import SINGLE_TURN, Message, Role, Task
from sharpen.models.base import Capability
from sharpen.models.loading import Caller
from sharpen.serve.asking import Said, shape_of
from sharpen.serve.schemas import Form
from sharpen.serve.served import Served
from sharpen.serve.wire import ChatRequest, Refusal, TextRequest
from sharpen.tasks.shown import MOST_PICTURES

_LACKS = {
    Capability.IMAGES: "this policy's model cannot see pictures (image_url)",
    Capability.TOOLS: "this policy's model takes no functions: its chat form has no place for them",
    Capability.SCHEMA: "this policy's model cannot be held to a schema",
}
_REFINES = "this policy answers in several steps, which take no functions"


class Wanted(NamedTuple):
    """A task, and what its answer has to be."""

    task: Task
    shape: Shape
    form: Form | None
    raw: str = ""
    """Text to be continued as it is."""


def all_wanted(served: Served, body: ChatRequest | TextRequest) -> list[Wanted]:
    """What a request asks of the policy, a dialogue or every one of its texts."""
    if isinstance(body, ChatRequest):
        return [wanted(served, body)]
    if not served.takes_text:
        raise _bad("prompt", "this policy answers dialogues: use /v1/chat/completions")
    return [Wanted(Task.ask(text, ""), FREE, None, text) for text in body.prompt]


def wanted(served: Served, body: ChatRequest) -> Wanted:
    """What a dialogue asks of the policy; a Refusal names the field that it cannot act on."""
    if sum(said.shown for said in body.messages) > MOST_PICTURES:
        raise _bad("messages", f"there are more than {MOST_PICTURES} pictures")
    messages = [_message(place, said) for place, said in enumerate(body.messages)]
    _check_dialogue(served, messages)
    shape, form = _shape(served, body), _form(body)
    if form is not None and _held(served):
        shape = shape.model_copy(update={"json_schema": form.json_schema})
    elif form is not None:
        messages = _telling(messages, form)
    return Wanted(Task(messages=tuple(messages), answer=""), shape, form)


def _message(place: int, said: Said) -> Message:
    try:
        return said.message()
    except BadInput as error:
        raise _bad(f"messages.{place}.content", f"{error.problem}; {error.remedy}") from None


def _telling(messages: Sequence[Message], form: Form) -> list[Message]:
    """The dialogue with the form told at the end of what the user said last; not all know a system's role."""
    spoken = [place for place, message in enumerate(messages) if message.role is Role.USER]
    if not spoken:
        return [*messages, Message(role=Role.USER, content=form.request)]
    last = messages[spoken[-1]]
    told = last.model_copy(update={"content": f"{last.content}\n\n{form.request}"})
    return [*messages[: spoken[-1]], told, *messages[spoken[-1] + 1 :]]


def _bad(field: str, problem: str) -> Refusal:
    return Refusal(400, "invalid_request_error", f"{field}: {problem}", field)


def _obstacle(served: Served, ability: Capability) -> str | None:
    """Why dialogues do not reach a model with this ability as they are; none if they do."""
    if served.policy.actor != SINGLE_TURN:
        return f"this policy answers through {served.policy.actor}, which takes words alone"
    if served.policy.prompt.style is not Style.CHAT:
        return "this policy's prompt is plain text, which takes words alone (serve it with --style chat)"
    return None if ability in served.model.capabilities else _LACKS[ability]


def _check_dialogue(served: Served, messages: Sequence[Message]) -> None:
    """A Refusal for pictures before a policy that sees none, and for calls before one that knows none."""
    for place, message in enumerate(messages):
        if message.pictures and (problem := _obstacle(served, Capability.IMAGES)):
            raise _bad(f"messages.{place}.content", problem)
        if message.calls and (problem := _obstacle(served, Capability.TOOLS)):
            raise _bad(f"messages.{place}.tool_calls", problem)


def _shape(served: Served, body: ChatRequest) -> Shape:
    if not body.tools and body.tool_choice in (None, "none", "auto"):
        return FREE
    try:
        shape = shape_of(body.tools or [], body.tool_choice)
    except ValueError as error:
        raise _bad("tool_choice", str(error)) from None
    problem = _obstacle(served, Capability.TOOLS) if served.workflow is None else _REFINES
    if shape.tools and problem:
        raise _bad("tools", problem)
    if shape.calling is Calling.MUST:
        model = served.model
        if isinstance(model, Caller) and model.opening(shape.tools) is None:
            raise _bad("tool_choice", "calls cannot be forced here; give auto or none")
    return shape


def _form(body: ChatRequest) -> Form | None:
    try:
        return body.response_format.form() if body.response_format else None
    except ValueError as error:
        raise _bad("response_format", str(error)) from None


def _held(served: Served) -> bool:
    """Whether the model can be held to a schema where it draws."""
    return served.workflow is None and _obstacle(served, Capability.SCHEMA) is None
