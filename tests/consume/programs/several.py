"""Run the Spark example once for each set of variables, in one process: ``several.py '[{"PREFIX": ...}, ...]'``."""

import importlib
import json
import os
import sys

if __name__ == "__main__":
    job = None
    for question in json.loads(sys.argv[1]):
        os.environ.update(question)
        # Its settings are read where it is imported.
        job = importlib.import_module("metrics_to_parquet") if job is None else importlib.reload(job)
        job.main()
