"""Works on a branch with PyIceberg over REST; Flight SQL must see the same at every step.

usage: rest_tables.py HTTP-ADDRESS FLIGHT-ADDRESS BRANCH OTHER-TABLE [TOKEN]
OTHER-TABLE is a table of the branch that Pumphouse has written.
"""

import sys

import pyarrow as pa
from pyiceberg.expressions import EqualTo
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, DayTransform
from pyiceberg.types import LongType, NestedField, StringType
from pyiceberg.view.metadata import SQLViewRepresentation, ViewVersion

import flight
import rest

http, address, branch, other, *token = sys.argv[1:]
properties = {"token": token[0]} if token else {}
catalog = rest.catalog(http, branch, **properties)
connection = flight.connect(address, *token)


def same(name, rows=None):
    """The rows of a table by PyIceberg, after comparing them with Flight SQL's."""
    ours = catalog.load_table(name).scan().to_arrow()
    columns = ", ".join(flight.quoted(column) for column in ours.column_names)
    theirs = flight.rows_of(connection, f'select {columns} from "{branch}".{name}')
    theirs = theirs.cast(ours.schema).to_pylist()
    found = sorted(map(repr, ours.to_pylist()))
    rest.check(f"{name} by SQL", sorted(map(repr, theirs)), found)
    if rows is not None:
        rest.check(f"rows of {name}", len(found), rows)
    return ours.to_pylist()


def batch(ids, label):
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "at": pa.array([1_700_000_000_000_000 + i * 10**10 for i in ids], pa.timestamp("us", "UTC")),
            "label": [f"{label}{i}" for i in ids],
            "v": [i + 0.5 for i in ids],
        }
    )


catalog.create_namespace("lab", {"owner": "ada"})
rest.check("namespace", catalog.load_namespace_properties("lab"), {"owner": "ada"})
table = catalog.create_table("lab.things", batch([0], "a").schema)
same("lab.things", 0)
table.append(batch(range(10), "a"))
same("lab.things", 10)
table.append(batch(range(10, 15), "b"))
first = table.snapshots()
table.overwrite(batch([20, 21], "c"), overwrite_filter="id < 3")
same("lab.things", 14)
table.delete("id = 4")
same("lab.things", 13)
done = table.upsert(batch([5, 30], "d"), join_cols=["id"])
rest.check("upsert", (done.rows_updated, done.rows_inserted), (1, 1))
labels = {row["id"]: row["label"] for row in same("lab.things", 14)}
rest.check("updated row", labels[5], "d5")

# Another schema and another partitioning; older files keep theirs.
with table.update_schema() as update:
    update.add_column("site", StringType())
    update.rename_column("label", "name")
with table.update_spec() as update:
    update.add_field("at", DayTransform(), "day")
    update.add_field("id", BucketTransform(4), "bucket")
table.append(
    batch([40, 41], "e").rename_columns(["id", "at", "name", "v"]).append_column("site", [["x", "y"]])
)
rows = same("lab.things", 16)
rest.check("sites", sorted(row["site"] for row in rows if row["site"]), ["x", "y"])
table.delete(EqualTo("site", "x"))
same("lab.things", 15)

# Earlier snapshots, as the table's own log has them.
oldest = min(first, key=lambda snapshot: snapshot.sequence_number)
rest.check("first snapshot", table.scan(snapshot_id=oldest.snapshot_id).to_arrow().num_rows, 10)
rest.check("log", len(table.history()) >= 6, True)
with table.manage_snapshots() as snapshots:
    snapshots.create_tag(oldest.snapshot_id, "beginning")
rest.check("tag", "beginning" in catalog.load_table("lab.things").refs(), True)

# A table and its first rows in one commit.
with catalog.create_table_transaction("lab.staged", batch([0], "a").schema) as transaction:
    transaction.set_properties({"made": "at once"})
    transaction.append(batch(range(7), "s"))
same("lab.staged", 7)
catalog.rename_table("lab.staged", "lab.renamed")
same("lab.renamed", 7)
metadata = catalog.load_table("lab.renamed").metadata_location
catalog.purge_table("lab.renamed")
rest.check("tables", catalog.list_tables("lab"), [("lab", "things")])
catalog.register_table("lab.back", metadata)
same("lab.back", 7)

view = catalog.create_view(
    "lab.few",
    Schema(NestedField(1, "id", LongType(), required=False)),
    ViewVersion(
        version_id=1,
        schema_id=0,
        timestamp_ms=1_700_000_000_000,
        summary={"engine-name": "test"},
        representations=[
            SQLViewRepresentation(
                type="sql", sql="select id from things where id < 6", dialect="datafusion"
            )
        ],
        default_namespace=["lab"],
    ),
)
rest.check("views", catalog.list_views("lab"), [("lab", "few")])
rest.check("view", catalog.load_view("lab.few").metadata.view_uuid, view.metadata.view_uuid)
few = flight.rows_of(connection, f'select id from "{branch}".lab.few order by id')
rest.check("view by SQL", few["id"].to_pylist(), [3, 5])
catalog.drop_view("lab.few")
rest.check("views", catalog.list_views("lab"), [])
flight.rows_of(connection, f'create view "{branch}".lab.by_sql as select 1 as one')
(made,) = catalog.load_view("lab.by_sql").metadata.versions[0].representations
rest.check("view made by SQL", made.root.dialect, "datafusion")

# Rows changed by SQL, in a table that PyIceberg partitioned.
flight.rows_of(connection, f'delete from "{branch}".lab.things where id = 41')
same("lab.things", 14)

same(other)
print("ok")
