"""What the pages say can be followed: their links lead somewhere, their commands exist."""

from __future__ import annotations

import re
from pathlib import Path

from house import REPOSITORY, texts

from appliance.cli import commands

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:^|`|bin/)cellwright (?!COMMAND)([a-z][a-z-]*)", re.MULTILINE)
CODE_PATH = re.compile(
    r"`((?:appliance|drivers|vision|tui|sync|tests|deploy|docs)/[A-Za-z0-9_./-]+\.(?:py|md|toml|sh|service|rules|html|js|css))`"
)


def pages() -> dict[Path, str]:
    return {path: text for path, text in texts().items() if path.suffix == ".md" and path.parts[0] != "tests"}


def anchor_of(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.strip().lower()).replace(" ", "-")


def test_every_link_between_pages_leads_somewhere() -> None:
    lost = []
    for path, text in pages().items():
        for target in LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            there = (REPOSITORY / path).parent / file if file else REPOSITORY / path
            if not there.exists():
                lost.append(f"{path}: {target}")
            elif anchor:
                headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
                lost += [] if anchor in map(anchor_of, headings) else [f"{path}: {target}"]

    assert lost == []


def test_every_command_on_a_page_exists() -> None:
    known = set(commands())
    named = {(str(path), name) for path, text in pages().items() for name in COMMAND.findall(text)}

    assert sorted(pair for pair in named if pair[1] not in known) == []


def test_every_file_that_a_page_names_is_there() -> None:
    lost = [
        f"{path}: {name}"
        for path, text in pages().items()
        for name in CODE_PATH.findall(text)
        if not (REPOSITORY / name).exists()
    ]

    assert lost == []


def test_the_page_of_decisions_lists_each_of_them() -> None:
    folder = REPOSITORY / "docs" / "decisions"
    listed = set(re.findall(r"\((\d{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text()))

    assert listed == {path.name for path in folder.glob("[0-9]*.md")}


def test_no_page_claims_to_comply() -> None:
    """Software supports a rule; a site shows that it meets it."""
    claims = re.compile(
        r"(?i)\b(is|are|fully|be) (gmp |gxp |part 11 |annex 11 )?complian(t|ce)\b|\bcertified for\b"
    )
    said = [f"{path}: {found[0]}" for path, text in pages().items() for found in claims.finditer(text)]

    assert said == []
