"""Appends to a table of its own, a number of times; a conflict ends it.

usage: rest_writer.py HTTP-ADDRESS TABLE APPENDS [TOKEN]
"""

import sys

import pyarrow as pa
import rest

http, name, appends, *token = sys.argv[1:]
properties = {"credential": f"somebody:{token[0]}"} if token else {}
catalog = rest.catalog(http, "main", **properties)
rows = pa.table({"id": pa.array(range(3), pa.int64())})
catalog.create_namespace_if_not_exists("lab")
table = catalog.create_table(name, rows.schema)
for _ in range(int(appends)):
    table.append(rows)
rest.check("rows", catalog.load_table(name).scan().to_arrow().num_rows, 3 * int(appends))
print("ok")
