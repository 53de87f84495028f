"""A writer that says the number of each record once it is durable; made to be killed.

python writer_process.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from record_bench import BATCH, UNIT_KEY, new_record, stamp

from appliance.record.canonical import encode_payload
from appliance.record.log import DATABASE, Record


def main() -> None:
    folder = Path(sys.argv[1])
    there = (folder / DATABASE).exists()
    record = Record.open(folder, key=UNIT_KEY) if there else new_record(folder)
    print("ready", flush=True)
    number = 0
    while True:
        number += 1
        payload = encode_payload(BATCH, None, {"text": "x" * (number * 37 % 900)})
        stored = record.append("CommentAdded", payload, actor="unit", stamp=stamp(number))
        print(f"{stored.seq} {stored.hash.hex()}", flush=True)
        if number % 40 == 0:
            record.seal(stamp(number))
        if number % 90 == 0:
            reference = record.put_blob(payload, "application/json")
            print(f"blob {reference.sha256}", flush=True)


if __name__ == "__main__":
    main()
