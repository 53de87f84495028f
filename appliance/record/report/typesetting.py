"""The child process that sets a batch record: `typesetting.py FOLDER` writes FOLDER/record.pdf.

It knows nothing of the record: the folder holds the template, the content as JSON, and the pictures.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

import typst

LARGEST_MEMORY_BYTES = 3 * 2**30  # a bound on the whole child, so that a huge record ends here alone
STANDARD: Final = "a-3b"


def main() -> int:
    """Set the record; what is wrong goes to stderr."""
    resource.setrlimit(resource.RLIMIT_AS, (LARGEST_MEMORY_BYTES, LARGEST_MEMORY_BYTES))
    folder = Path(sys.argv[1])
    try:
        data = typst.compile(
            folder / "batch_record.typ",
            root=folder,
            font_paths=[Path((folder / "fonts.txt").read_text())],
            ignore_system_fonts=True,
            format="pdf",
            pdf_standards=STANDARD,
            timestamp=0,
        )
    except typst.TypstError as problem:
        print(getattr(problem, "diagnostic", "") or problem.message, file=sys.stderr)
        return 1
    (folder / "record.pdf").write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
