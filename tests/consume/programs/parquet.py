"""Print the Parquet folders metrics and averages below a folder as one JSON object."""

import json
import sys
from pathlib import Path

import pyarrow.parquet

if __name__ == "__main__":
    there = Path(sys.argv[1])
    found = {
        name: pyarrow.parquet.read_table(there / name).to_pylist()
        for name in ("metrics", "averages")
        if (there / name).exists()
    }
    print(json.dumps(found, default=str))
