"""Print the rows of an Iceberg table: chat.metrics of the SQLite catalog in a folder, or that of a metadata file."""

import json
import sys

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import StaticTable

if __name__ == "__main__":
    where = sys.argv[1]
    if where.endswith(".json"):
        table = StaticTable.from_metadata(where)
    else:
        table = SqlCatalog("zendesk", uri=f"sqlite:///{where}/catalog.db").load_table("chat.metrics")
    print(json.dumps(table.scan().to_arrow().to_pylist(), default=str))
