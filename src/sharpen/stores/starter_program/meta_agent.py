"""The part that says how this program is to be changed, this file included."""

from typing import Any


def instructions(brief: dict[str, Any]) -> str:
    """The order to the model that edits: from the files, the training scores and tasks that went wrong.

    `brief` has `files` (name -> text), `report` (domain -> {score, examples: [{question, answer}]}), in which
    the examples are training tasks, failed ones where there are any, and `past` (file -> {tries, gains}).
    """
    parts = ["Change this Python program so that its answers become right. Change any part of it."]
    parts += [f"File {name}:\n{text}" for name, text in brief["files"].items()]
    for domain, seen in brief["report"].items():
        shown = "\n".join(f"- {case['question']}\n  right: {case['answer']}" for case in seen["examples"])
        parts.append(f"Domain {domain}, score {seen['score']:.2f}, tasks:\n{shown}")
    return "\n\n".join(parts)
