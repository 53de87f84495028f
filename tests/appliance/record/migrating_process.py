"""A process that brings a record to version 2 of its tables, and dies where it is told to.

    python migrating_process.py FOLDER SCHEMA_HASH [ACTS]

With ACTS it kills itself after so many acts; else it says when it begins and goes on to the end.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.record import migrate

if TYPE_CHECKING:
    from sqlite3 import Connection


def index_by_kind(connection: Connection) -> None:
    """A step as a later version may have one: it makes a search faster and says nothing else."""
    connection.execute("CREATE INDEX gxp_by_kind ON gxp_record (substr(data, 157, 48))")


def plan(schema_hash: str) -> migrate.Plan:
    return migrate.Plan(2, schema_hash, {1: index_by_kind})


def main() -> None:
    folder, to_two = Path(sys.argv[1]), plan(sys.argv[2])
    if len(sys.argv) > 3:
        acts = migrate.acts(folder, 1, to_two)
        for _ in range(int(sys.argv[3])):
            next(acts)()
        os.kill(os.getpid(), signal.SIGKILL)
    print("begins", flush=True)
    migrate.bring_up(folder, to_two)


if __name__ == "__main__":
    main()
