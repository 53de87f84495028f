"""What the commands for recipes and for label templates share: a text or its envelope in, faults out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.access.documents import DocumentType, Envelope

TEXT_BYTES_MAX = 256 * 1024


def read_text(path: Path, document_type: DocumentType, words: str) -> tuple[bytes, Envelope | None]:
    """The document's exact bytes, and the envelope when the file is one.

    Parameters
    ----------
    words
        What the document is called, such as "a recipe".

    Raises
    ------
    DocumentRefused
        Too large to be one, or an envelope of something else.
    OSError
        The file cannot be read.
    """
    from appliance.access.documents import DocumentRefused, parse

    data = path.read_bytes()
    if not data.lstrip().startswith(b"{"):
        if len(data) > TEXT_BYTES_MAX:
            raise DocumentRefused("too_large", f"{path} is too large to be {words}.")
        return data, None
    envelope = parse(data)
    if envelope.type != document_type:
        raise DocumentRefused("wrong_type", f"{path} is a {envelope.type}, not {words}.")
    return envelope.content, envelope


def tell_faults(arguments: argparse.Namespace, faults: list[str]) -> None:
    """Print the faults of `arguments.file`, one a line, or as one JSON object."""
    if arguments.json:
        print(json.dumps({"file": str(arguments.file), "faults": faults}, ensure_ascii=False))
    elif faults:
        print("\n".join(f"{arguments.file}: {fault}" for fault in faults))
    else:
        print(f"{arguments.file}: no fault found")
