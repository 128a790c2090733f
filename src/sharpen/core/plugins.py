"""One file adds a recipe, task family or verifier: they are found by file name, with no registry.

A name is either the stem of a module in the kind's package (`b_star`, also written `b-star`), or a
path to a Python file of the user's own (`./mine.py`, or `./mine.py:name` for one object of it).
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from sharpen.core.errors import BadInput, SharpenError

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def stem_of(name: str) -> str:
    """The module stem that a written name means."""
    return name.replace("-", "_")


def names(package: str, *, defines: str | None = None) -> dict[str, str]:
    """Every public module of a package with the first line of its docstring; imports none of them.

    With `defines`, only modules that define a function of that name: the plugins among their helpers.
    """
    return dict(_found(package, "[a-z]*", defines))


def _found(package: str, pattern: str, defines: str | None) -> Iterator[tuple[str, str]]:
    """Modules whose names match, with the first line of their docstring."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(package)
    for folder in spec.submodule_search_locations:
        for path in sorted(Path(folder).glob(f"{pattern}.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            if defines is None or defines in _functions(tree):
                yield path.stem, (ast.get_docstring(tree) or "").split("\n", 1)[0]


def _functions(tree: ast.Module) -> set[str]:
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def load(package: str, name: str, *, kind: str, defines: str | None = None) -> ModuleType:
    """Import the module that `name` means; BadInput lists the known names if there is none."""
    file, _, _ = name.partition(".py:")
    if name.endswith(".py") or ".py:" in name:
        return _load_file(Path(file if file.endswith(".py") else file + ".py"), kind)
    stem = stem_of(name)
    # Reading every module of a large package takes longer than importing one.
    if not _NAME.fullmatch(stem) or stem not in dict(_found(package, stem, defines)):
        known = sorted(names(package, defines=defines))
        raise BadInput(kind, name, f"there is no such {kind}", remedy=f"one of: {', '.join(known)}")
    return importlib.import_module(f"{package}.{stem}")


def _load_file(path: Path, kind: str) -> ModuleType:
    if not path.is_file():
        raise BadInput(kind, str(path), "there is no such file", remedy="check the path")
    name = f"sharpen_user_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInput(kind, str(path), "is not a Python file", remedy="give a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with mendable(kind, path):
        spec.loader.exec_module(module)
    return module


@contextmanager
def mendable(kind: str, path: Path) -> Iterator[None]:
    """What a file of the user's raises is theirs to mend: BadInput with its line, no traceback."""
    try:
        yield
    except SharpenError:
        raise
    except Exception as error:
        line = _line_of(error, path)
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        where = f"line {line}" if line else "it"
        problem = f"{where} raises {type(error).__name__}: {what}"
        raise BadInput(kind, str(path), problem, remedy="mend the file") from error


def _line_of(error: Exception, path: Path) -> int | None:
    """The line of the file that led to an error; the innermost, as a file may call itself."""
    file = str(path.resolve())
    if isinstance(error, SyntaxError) and error.filename and str(Path(error.filename).resolve()) == file:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((at.lineno for at in reversed(frames) if str(Path(at.filename).resolve()) == file), None)
