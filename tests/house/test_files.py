"""Every tracked file: tidy, of a bearable size, and silent about the machine it was written on."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from house import REPOSITORY, ROOMS, texts, tracked

# Put together here, so that this file does not say what it forbids.
PLACES = ("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/tmp/con" + "tract", "/Us" + "ers/")
REGISTRIES = (
    *("py" + "pi.org", "files.python" + "hosted", "conda" + ".anaconda", "registry.npm" + "js"),
    *("arti" + "factory", "ne" + "xus/", "devpi" + "/", "deb.deb" + "ian.org", "proxy.go" + "lang"),
)
TELLTALES = (
    *("as an a" + "i ", "language mod" + "el", "chat" + "gpt", "co" + "pilot", "open" + "ai"),
    *("anth" + "ropic", "clau" + "de", "generated" + " by", "generated" + " with"),
    *("in this ses" + "sion", "co-authored" + "-by", "prompt" + " engineer", "vibe" + " cod"),
)
GENERATED = {Path("requirements.txt"), Path("requirements-central.txt"), Path("requirements-dev.txt")}
FILE_BYTES_MAX = 2_000_000
PICTURE_BYTES_MAX = 300_000
LINES_MAX = 800  # the vocabulary of events is the longest
FUNCTION_LINES_MAX = 70
DOCUMENTED_PERCENT_MIN = 70
CORRIDORS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "stuff"}


def holding(words: tuple[str, ...], *, but: tuple[str, ...] = ()) -> list[str]:
    """Each `file: word` where a tracked text holds one of the words, whatever its case."""
    return [
        f"{path}: {word}"
        for path, text in texts().items()
        if str(path) not in but
        for word in words
        if word.lower() in text.lower()
    ]


def test_no_file_names_a_place_on_the_machine_where_it_was_written() -> None:
    assert holding(PLACES) == []


def test_no_file_names_a_registry() -> None:
    assert holding(REGISTRIES) == []


def test_no_file_tells_by_what_tool_it_was_made() -> None:
    # Licences and data sets of others keep their own words.
    others = tuple(
        str(path) for path in texts() if path.parts[:2] == ("tests", "data") or path.name == "LICENSE"
    )
    assert holding(TELLTALES, but=others) == []


def test_no_file_has_tabs_trailing_blanks_or_foreign_line_ends() -> None:
    untidy = []
    for path, text in texts().items():
        tabs_allowed = path.name == "Makefile" or path.suffix == ".csv"
        if "\r" in text and path.parts[:2] != ("tests", "data"):
            untidy.append(f"{path}: carriage return")
        if "\t" in text and not tabs_allowed:
            untidy.append(f"{path}: tab")
        if re.search(r"[ \t]+$", text, re.MULTILINE) and path.parts[:2] != ("tests", "data"):
            untidy.append(f"{path}: blanks at a line's end")
        if text and not text.endswith("\n"):
            untidy.append(f"{path}: no line end at the end")

    assert untidy == []


def test_no_file_is_larger_than_a_person_would_clone() -> None:
    sizes = {path: (REPOSITORY / path).stat().st_size for path in tracked()}

    assert {str(path): size for path, size in sizes.items() if size > FILE_BYTES_MAX} == {}
    pictures = {path: size for path, size in sizes.items() if path.parts[:2] == ("docs", "pictures")}
    assert {str(path): size for path, size in pictures.items() if size > PICTURE_BYTES_MAX} == {}


def test_no_module_is_a_corridor() -> None:
    names = [path for path in tracked() if path.suffix == ".py" and CORRIDORS & {path.stem, *path.parts[:-1]}]

    assert [str(path) for path in names] == []


def test_modules_and_functions_stay_readable() -> None:
    long = []
    for path, tree in trees():
        lines = len(texts()[path].splitlines())
        if lines > LINES_MAX:
            long.append(f"{path}: {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                told = len((ast.get_docstring(node) or "").splitlines())
                length = (node.end_lineno or node.lineno) - node.lineno + 1 - told
                if length > FUNCTION_LINES_MAX:
                    long.append(f"{path}: {node.name} has {length} lines")

    assert long == []


def test_what_a_room_offers_is_explained() -> None:
    """Every module has a docstring; of the public functions and classes, most."""
    bare_modules, told, silent = [], 0, []
    for path, tree in trees():
        if ast.get_docstring(tree) is None and texts()[path].strip():
            bare_modules.append(str(path))
        for node in tree.body:
            public = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if public and not node.name.startswith("_"):  # type: ignore[union-attr]
                told += ast.get_docstring(node) is not None  # type: ignore[arg-type]
                silent += [] if ast.get_docstring(node) else [f"{path}:{node.name}"]  # type: ignore
    percent = 100 * told / (told + len(silent))

    print(f"{percent:.1f} % of {told + len(silent)} public things are explained")
    assert bare_modules == []
    assert percent >= DOCUMENTED_PERCENT_MIN, silent


def test_no_swallowed_fault_and_no_promise_without_a_condition() -> None:
    """A bare except, a pass for every exception, and a wish that nobody will read again."""
    wish = re.compile(r"#.*\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
    found = []
    for path, tree in trees():
        found += [f"{path}: {line.strip()}" for line in texts()[path].splitlines() if wish.search(line)]
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                found.append(f"{path}:{node.lineno}: bare except")

    assert found == []


def test_test_modules_have_names_of_their_own() -> None:
    """Tests are imported by their bare name: two of one name would hide each other."""
    modules = [path.name for path in tracked() if path.parts[0] == "tests" and path.suffix == ".py"]
    shared = {name: count for name, count in Counter(modules).items() if count > 1}

    assert set(shared) <= {"conftest.py", "__init__.py", "__main__.py"}


def trees() -> list[tuple[Path, ast.Module]]:
    """The syntax trees of the five rooms."""
    return [
        (path, ast.parse(text))
        for path, text in texts().items()
        if path.suffix == ".py" and path.parts[0] in ROOMS
    ]
