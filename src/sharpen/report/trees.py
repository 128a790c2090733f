"""Search trees as indented text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console

from sharpen.experiment.show import ShownTree
from sharpen.search.trees import Tree

LONGEST = 160
DEEPEST = 60


def print_trees(console: Console, shown: Sequence[ShownTree]) -> None:
    """Every tree with its question's key and the step it was grown in."""
    for item in shown:
        nodes = f"{len(item.tree.nodes)} nodes, walk {' > '.join(map(str, item.tree.walk))}"
        console.print(
            f"{item.step} task {item.tree.task}: {nodes}", style="bold", highlight=False, markup=False
        )
        for line in tree_lines(item.tree):
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def tree_lines(tree: Tree) -> Iterator[str]:
    """A line per node, parents before children: number, visits, Q, own value, prior, and what was written.

    A star marks the walk, a full stop after the number an end.
    """
    waiting = [(0, 0)]
    while waiting:
        number, depth = waiting.pop()
        node = tree.nodes[number]
        walked, ended = "*" if number in tree.walk else " ", "." if node.ended else " "
        facts = f"n={node.visits} q={node.q:.3g} v={node.value:.3g} p={node.prior:.2g}"
        indent = "  " * min(depth, DEEPEST)
        yield f"{walked}{indent}{number}{ended} {facts}  {shown_text(node.text)}".rstrip()
        waiting += [(child, depth + 1) for child in reversed(node.children)]


def shown_text(text: str) -> str:
    """Model text in one line, cut to length, without characters that could drive the terminal."""
    signs = (c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode() for c in text)
    line = "".join(signs)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."
