"""The structure holds: imports point down, nothing heavy comes with the name, files stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sharpen

ROOT = Path(sharpen.__file__).parent
LAYERS = [
    {"core"},
    {"sandbox", "executors"},
    {"tasks", "environments", "models"},
    {"actors", "search", "curation", "learners", "stores", "verifiers", "judges", "monitors"},
    {"recipes"},
    {"attacks"},
    {"experiment"},
    {"report"},
    {"ui", "serve", "bench"},
    {"cli"},
]
HEAVY = {"torch", "transformers", "peft", "scipy", "numpy", "reasoning_gym", "openai", "math_verify"}
LIGHT_PARTS = ("core", "curation", "experiment", "recipes", "bench", "cli")
MODULES = sorted(ROOT.rglob("*.py"))


def rank(part: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if part in layer)


def imports(path: Path, *, anywhere: bool) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if anywhere else iter(tree.body)
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_point_down(path: Path) -> None:
    parts = path.relative_to(ROOT).parts
    if len(parts) == 1:
        return
    own = rank(parts[0])
    for name in imports(path, anywhere=True):
        words = name.split(".")
        if words[0] == "sharpen" and len(words) > 1:
            assert rank(words[1]) <= own, f"{path} imports {name} from a layer above"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_light_parts_import_nothing_heavy_at_the_top(path: Path) -> None:
    if path.relative_to(ROOT).parts[0] in LIGHT_PARTS:
        heavy = {name.split(".")[0] for name in imports(path, anywhere=False)} & HEAVY
        assert not heavy, f"{path} imports {heavy} at the top"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    limit = 200 if path.parent.name == "recipes" else 500
    assert text.count("\n") <= limit
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 80, f"{path}:{node.name}"


def test_shared_parts_name_no_method() -> None:
    names = {path.stem for path in (ROOT / "recipes").glob("[a-z]*.py")} - {"ids"}  # token ids are no method
    for path in MODULES:
        part = path.relative_to(ROOT).parts[0]
        if part in ("recipes", "cli") or path.parent == ROOT:
            continue
        words = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not names & words, f"{path} names {names & words}"


def test_importing_and_asking_for_help_stay_light() -> None:
    program = (
        "import sys, sharpen\n"
        "from sharpen.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'scipy', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "quickstart" in done.stdout
