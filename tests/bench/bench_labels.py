"""Rates, wrong reads and times of label reading, beside zxing-cpp alone and ZBar alone in the same run.

    python tests/bench/bench_labels.py [--data DIR] [--budget-ms N]

The same as `cellwright bench labels --json`; without --data the small set of the tests is used.
"""

from __future__ import annotations

import sys

from vision.labels.bench_command import bench

if __name__ == "__main__":
    sys.exit(bench(["labels", "--json", *sys.argv[1:]]))
