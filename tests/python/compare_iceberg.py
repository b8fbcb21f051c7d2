"""Compares what PyIceberg and Flight SQL read of a table at each of some commits.

The standard input holds one line per commit, its hash and the location of the table's
metadata file. Rows are counted, and every numeric column is summed exactly.

usage: compare_iceberg.py ADDRESS NAMESPACE.TABLE [PROPERTY=VALUE...] < COMMITS
The properties are PyIceberg's, such as s3.endpoint.
"""

import math
import sys

import pyarrow as pa
from pyiceberg.table import StaticTable

import flight

address, table, *properties = sys.argv[1:]
properties = dict(item.split("=", 1) for item in properties)


def summary(rows):
    """The number of rows, and the exact sum of every floating point column."""
    sums = {
        field.name: math.fsum(value for value in rows[field.name].to_pylist() if value is not None)
        for field in rows.schema
        if pa.types.is_floating(field.type)
    }
    return rows.num_rows, sums


faults = []
counts = []
with flight.connect(address) as connection:
    for line in sys.stdin:
        commit, location = line.split()
        iceberg = summary(StaticTable.from_metadata(location, properties).scan().to_arrow())
        sql = f'select * from "main@{commit}".{table}'
        ours = summary(flight.rows_of(connection, sql))
        counts.append(ours[0])
        if iceberg != ours:
            faults.append(f"{commit}: PyIceberg {iceberg}, Flight SQL {ours}")
        if not ours[1]:
            faults.append(f"{commit}: no column to sum")

print(f"compared {len(counts)} commits, rows: {counts}")
if counts != sorted(counts):
    faults.append("the table shrank")
if faults:
    sys.exit("\n".join(faults))
