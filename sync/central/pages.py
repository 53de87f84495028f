"""Server-made HTML: templates with escaping always on, and the few filters they need."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from starlette.responses import HTMLResponse, Response

from sync.central.accounts import SignedIn
from sync.central.chain_of_identity import chain_of, order_facts
from sync.central.home import Settings

TEMPLATES = Path(__file__).parent / "pages"
HASH = re.compile(r"\b[0-9a-f]{64}\b")
FACT_CHARACTERS = 600
DECISION_WORDS = {
    "batch": "Batch",
    "unit": "Unit",
    "disposition": "Disposition",
    "stage": "Stage",
    "reason": "Reason",
    "dose_labels": "Dose labels",
    "name": "Decided by",
    "by": "Person id",
    "decided_at": "Decided at",
    "expires_at": "Release expires at",
    "version": "Version of the decision",
    "recipe_hash": "Recipe (SHA-256)",
    "log_epoch": "Log epoch",
    "sealed_seq": "Sealed at record",
    "sealed_hash": "Sealed head (SHA-256)",
    "telemetry_seq": "Trends sealed at record",
    "telemetry_hash": "Head of the trends (SHA-256)",
    "blobs_hash": "Files (SHA-256 over all)",
}


class Pages:
    """Renders the templates of `pages/`."""

    def __init__(self, settings: Settings) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,  # off by default in Jinja2, and every word here comes from outside
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "utc": utc,
            "spaced": spaced,
            "facts": facts_of,
            "base64": lambda data: base64.b64encode(data).decode(),
            "sha256": lambda data: hashlib.sha256(data).hexdigest(),
            "short": lambda text: f"{text[:8]}…{text[-4:]}" if len(text) > 16 else text,
            "order_facts": order_facts,
            "chain_of": lambda review: chain_of(review.entries, review.order.get("coi", "")),
            "note_text": lambda body: str(json.loads(body).get("text", "")),
        }
        self._environment.globals |= {"site": settings.site, "simulated": settings.simulated}

    def show(self, template: str, who: SignedIn | None, *, status: int = 200, **facts: Any) -> Response:
        """One page."""
        html = self._environment.get_template(template).render(who=who, **facts)
        return HTMLResponse(html, status_code=status)


def utc(moment: datetime | str | None) -> str:
    """A moment for reading: always UTC, always said."""
    if not moment:
        return "-"
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return str(moment)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def spaced(kind: str) -> str:
    """`CellCountReported` as "Cell count reported"."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", kind).replace("_", " ")
    return words[:1].upper() + words[1:].lower() if words else ""


def facts_of(body: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The fields of an event, generic: name in words, value as text, and the whole value where it was cut."""
    found = []
    for name, value in body.items():
        if value in ("", [], {}, None) or name in ("phase", "recipe_text", "order_text"):
            continue
        whole = _text(value)
        text = HASH.sub(lambda match: f"{match[0][:12]}…", whole)
        text = text if len(text) <= FACT_CHARACTERS else f"{text[:FACT_CHARACTERS]} …"
        found.append((spaced(name), text, whole[:2000] if text != whole else ""))
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {one}" for key, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def decision_facts(content: bytes) -> list[tuple[str, str]]:
    """Each field of the exact decision bytes, most important first; a field without words shows its name."""
    decision = json.loads(content)
    order = [*DECISION_WORDS, *sorted(set(decision) - set(DECISION_WORDS))]
    shown = []
    for name in order:
        value = decision.get(name, "")
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        if text:
            shown.append((DECISION_WORDS.get(name, name), text))
    return shown
