"""What is said of an option that a command does not have: a close name, and a recipe's own settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from cyclopts import Argument, Group, UnknownOptionError

SETTINGS_OF = "Settings of "
"""How the group of a recipe's own settings begins; its name follows."""
_CLOSE = 0.7
"""Least likeness of names, without their dashes: with them any two short names are half alike."""


def unknown(error: UnknownOptionError) -> tuple[str, str]:
    """The problem and its remedy, a line each."""
    written = (error.token.keyword or error.token.value).partition("=")[0]
    arguments = [argument for argument in error.argument_collection if argument.parse]
    names = {name.lstrip("-"): name for argument in arguments for name in argument.names}
    close = get_close_matches(written.lstrip("-"), names, n=1, cutoff=_CLOSE)
    hint = f" Did you mean {names[close[0]]}?" if close else ""
    command = " ".join(["sharpen", *(error.command_chain or ["COMMAND"])])
    return (
        f"Unknown option: {written}.{hint}",
        f"{_settings(arguments)}`{command} --help` shows what is allowed",
    )


def _groups(argument: Argument) -> Iterable[Group | str]:
    given = argument.parameter.group
    return (given,) if isinstance(given, Group | str) else given or ()


def _settings(arguments: Sequence[Argument]) -> str:
    """The settings that the command has from its recipe; nothing where it has none."""
    own = [
        (group.name, argument.name)
        for argument in arguments
        for group in _groups(argument)
        if isinstance(group, Group) and group.name.startswith(SETTINGS_OF) and argument.name != "*"
    ]
    return f"{own[0][0].lower()}: {', '.join(name for _, name in own)}; " if own else ""
