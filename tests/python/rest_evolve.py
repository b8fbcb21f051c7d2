"""Changes a table that is being ingested into: a column more, another renamed, and
another partitioning.

usage: rest_evolve.py HTTP-ADDRESS TABLE COLUMN PARTITION-COLUMN
"""

import sys

import rest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.types import StringType

http, name, column, partition = sys.argv[1:]
catalog = rest.catalog(http, "main")


def evolve_schema(table):
    with table.update_schema() as update:
        update.add_column("remark", StringType())
        update.rename_column(column, f"{column}_before")


def evolve_partitions(table):
    with table.update_spec() as update:
        update.add_identity(partition)


for change in (evolve_schema, evolve_partitions):
    while True:
        try:
            change(catalog.load_table(name))
            break
        except CommitFailedException as error:
            # Ingest has committed first.
            print(error, file=sys.stderr)
print("ok")
