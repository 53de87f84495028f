"""An archive for people outside: what names or was typed is withheld, and all of it can still be proved.

In place of a withheld record stands nothing but its leaf in the signed tree; its place in the chain
is in the list of hashes. So a verifier still follows the chain, the tree and the signatures.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable
from typing import Any

from appliance.domain.blob_names import named_blobs
from appliance.domain.redaction import WITHHELD_FILES, reason_to_withhold
from appliance.record import archive
from appliance.record.audit import row_of
from appliance.record.canonical import StoredRecord, canonical_json, decode_payload, read_json, split_record
from appliance.record.report.text import Times, shown, words_of

WITHHELD = "withheld.json"
LOG = "gxp"  # telemetry holds measurements and no words
README = """This archive is REDACTED: records that name people or hold typed words are withheld, and
withheld.json says which and why. In their place stand hashes, so that

    python verify.py ARCHIVE [--trust FILE]

still tells with Python 3.11 alone whether everything is whole and unchanged, also what is withheld.
An archive does not vouch for itself: take verify.py and the trusted fingerprints from outside it.
What it still tells: the patient's pseudonym and donation number, the ids of staff, times and results.
Whoever already knows the exact bytes of a withheld record can confirm them by their hash.
"""


def redacted(entries: dict[str, bytes], batch: str) -> dict[str, bytes]:
    """The entries of an archive without what is withheld; the report is made from what remains."""
    hashes = entries[f"records/{LOG}.hashes"]
    left: list[bytes] = []
    rows: list[dict[str, Any]] = []
    kept: list[StoredRecord] = []
    files: dict[str, str] = {}
    needed: set[str] = set()
    for number, data in enumerate(archive.unframe(entries[f"records/{LOG}.bin"])):
        header, raw = split_record(data)
        payload = decode_payload(raw)
        names = list(dict.fromkeys(named_blobs(payload.body)))
        reason = reason_to_withhold(header.kind, payload.body)
        if reason:
            leaf = hashlib.sha256(b"\x00" + data).hexdigest()
            row = {"seq": header.seq, "kind": header.kind, "batch": payload.batch, "reason": reason}
            rows.append({**row, "leaf": leaf, "files": names})
            left.append(b"")
            continue
        left.append(data)
        kept.append(StoredRecord(header.seq, hashes[32 * number : 32 * number + 32], data))
        for name in names:
            why = _reason_for_file(payload.body, name)
            files |= {name: why} if why else {}
            needed |= set() if why else {name}
    files = {name: why for name, why in files.items() if name not in needed}
    return _entries(entries, batch, left, rows, kept, files, needed)


def _reason_for_file(body: dict[str, Any], name: str) -> str:
    """Why a file is withheld that this body names; a field that is not in the table shows it."""
    for key, value in body.items():
        said = value if isinstance(value, list) else [value]
        if name in said:
            return WITHHELD_FILES.get(key, "")
    return "a file that may name people"


def _entries(
    entries: dict[str, bytes],
    batch: str,
    left: list[bytes],
    rows: list[dict[str, Any]],
    kept: list[StoredRecord],
    files: dict[str, str],
    needed: set[str],
) -> dict[str, bytes]:
    telemetry = archive.unframe(entries["records/telemetry.bin"])
    for data in telemetry:
        needed |= set(named_blobs(decode_payload(split_record(data)[1]).body))
    made = {
        name: data
        for name, data in entries.items()
        if not name.startswith(("blobs/", "report.")) or name.removeprefix("blobs/") in needed
    }
    listed = read_json(entries["blobs.json"])["blobs"]
    made["blobs.json"] = canonical_json({"blobs": {n: f for n, f in listed.items() if n in needed}}) + b"\n"
    made[f"records/{LOG}.bin"] = archive.frame(left)
    withheld = {
        "v": 1,
        "records": rows,
        "files": [{"sha256": name, "reason": why} for name, why in sorted(files.items())],
    }
    made[WITHHELD] = canonical_json(withheld) + b"\n"
    made["report.html"] = report(batch, kept, rows, files)
    made["README.txt"] = README.encode()
    return made


def report(
    batch: str, kept: Iterable[StoredRecord], rows: list[dict[str, Any]], files: dict[str, str]
) -> bytes:
    """What remains, as a page to read: each event in words, each withheld one by number, kind and reason."""
    stored = list(kept)
    zone = next(
        (
            decode_payload(one.payload).body.get("time_zone", "")
            for one in stored
            if one.header.kind == "BatchOpened"
        ),
        "",
    )
    times = Times(str(zone))
    lines: dict[int, str] = {}
    for one in stored:
        row = row_of(one)
        lines[row.seq] = _row(row.seq, times.both(row.at), row.who, words_of(row.kind), row.what)
    for said in rows:
        lines[said["seq"]] = _row(
            said["seq"], "", "", words_of(said["kind"]), f"Withheld: it {said['reason']}.", "w"
        )
    simulated = any(one.header.clock_quality == 2 for one in stored)
    body = "\n".join(lines[seq] for seq in sorted(lines))
    lead = (
        f"{len(rows)} of {len(lines)} records and {len(files)} files are withheld; withheld.json names them "
        "with reasons. Chain, tree and signatures prove them all the same."
    )
    banner = "<p class=b>SIMULATED: never for a patient</p>" if simulated else ""
    return _PAGE.format(batch=html.escape(batch), lead=html.escape(lead), banner=banner, body=body).encode()


def _row(seq: int, at: str, who: str, kind: str, what: str, mark: str = "") -> str:
    cells = "".join(f"<td>{html.escape(shown(text))}</td>" for text in (str(seq), at, who, kind, what))
    return f'<tr class="{mark}">{cells}</tr>'


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{batch}, redacted</title>
<style>body{{font:15px/1.4 system-ui,sans-serif;margin:2rem;color:#1d2125}}
table{{border-collapse:collapse;width:100%}}
td,th{{text-align:left;vertical-align:top;border-top:1px solid #c6cbd0;padding:.3rem;overflow-wrap:anywhere}}
.w{{color:#5b636b;background:#eceef0}}
.b{{background:#2b2f33;color:#fff;padding:.4rem;font-weight:bold}}</style></head>
<body>{banner}<h1>Batch {batch}, redacted</h1><p>{lead}</p>
<table><thead><tr><th>No.</th><th>When</th><th>Who</th><th>Event</th><th>What</th></tr></thead>
<tbody>
{body}
</tbody></table></body></html>
"""
