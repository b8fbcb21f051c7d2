"""Adds a column to a table that is being ingested into, and renames another.

usage: rest_evolve.py HTTP-ADDRESS TABLE COLUMN
"""

import sys

import rest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.types import StringType

http, name, column = sys.argv[1:]
catalog = rest.catalog(http, "main")
while True:
    table = catalog.load_table(name)
    try:
        with table.update_schema() as update:
            update.add_column("remark", StringType())
            update.rename_column(column, f"{column}_before")
        break
    except CommitFailedException as error:
        # Ingest has changed the schema first.
        print(error, file=sys.stderr)
print("ok")
