"""Checks what PyIceberg reads of Iceberg tables, from their metadata files alone.

Every line of the standard input is a JSON object: "step", a name for messages;
"location" of a metadata file; "rows" and "sum", the expected number of rows and sum of
the column named "column"; optionally "filter", and "filtered", the rows it leaves.

usage: static_tables.py < CHECKS
"""

import json
import sys

import pyarrow.compute as pc
from pyiceberg.table import StaticTable

faults = []
checks = [json.loads(line) for line in sys.stdin]
for check in checks:
    table = StaticTable.from_metadata(check["location"])
    rows = table.scan().to_arrow()
    found = rows.num_rows, pc.sum(rows[check["column"]]).as_py() or 0
    if found != (check["rows"], check["sum"]):
        faults.append(f"{check['step']}: {found}, not {check['rows']}, {check['sum']}")
    snapshot = table.current_snapshot()
    total = snapshot.summary["total-records"] if snapshot else "0"
    if total != str(check["rows"]):
        faults.append(f"{check['step']}: the summary says {total} rows")
    if "filter" in check:
        filtered = table.scan(row_filter=check["filter"]).to_arrow().num_rows
        if filtered != check["filtered"]:
            faults.append(f"{check['step']}: {check['filter']} leaves {filtered}")

print(f"checked {len(checks)} steps")
if faults:
    sys.exit("\n".join(faults))
