"""Writes over ADBC as Python programs do: DML, parameters, transactions, bulk loads.

usage: flight_writes.py ADDRESS
"""

import sys
import warnings

import adbc_driver_manager as adbc
import flight
import pyarrow
from adbc_driver_flightsql import dbapi

# ADBC warns where a server lacks what it asks for, such as transactions.
warnings.simplefilter("error")


def same(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found!r}, not {expected!r}")


def answer(cursor, sql):
    cursor.execute(sql)
    return cursor.fetchall()


def refused(what, action):
    try:
        action()
    except adbc.Error:
        return
    sys.exit(f"{what} went through")


COUNT = "select count(*) from lab.notes"

with (
    dbapi.connect(f"grpc://{sys.argv[1]}") as connection,
    flight.connect(sys.argv[1]) as other,
    connection.cursor() as mine,
    other.cursor() as theirs,
):
    # The DB-API's way: a transaction is open from the first statement on.
    mine.execute("create table lab.notes (id bigint, text varchar)")
    mine.execute("insert into lab.notes values (1, 'a')")
    mine.executemany("insert into lab.notes values (?, ?)", [(2, "b"), (3, "c'")])
    same("rows of executemany", mine.rowcount, 2)
    same("seen inside", answer(mine, COUNT), [(3,)])
    refused("reading what is not committed", lambda: theirs.execute(COUNT))
    connection.commit()
    same("seen after the commit", answer(theirs, COUNT), [(3,)])
    text = answer(theirs, "select text from lab.notes where id = 3")
    same("a parameter with a quote", text, [("c'",)])

    mine.execute("update lab.notes set text = ? where id = ?", ("z", 1))
    same("seen inside", answer(mine, "select text from lab.notes where id = 1"), [("z",)])
    mine.execute("delete from lab.notes")
    same("seen inside", answer(mine, COUNT), [(0,)])
    connection.rollback()
    same("seen after the rollback", answer(mine, COUNT), [(3,)])

    # Bulk loads take part in transactions.
    table = pyarrow.table({"a": [1, 2, 3], "t": ["x", "y", None]})
    loaded = mine.adbc_ingest("loaded", table, mode="create", db_schema_name="lab")
    same("rows created", loaded, 3)
    loaded = mine.adbc_ingest(
        "loaded", pyarrow.table({"a": [4]}), mode="append", db_schema_name="lab"
    )
    same("rows appended", loaded, 1)
    connection.commit()
    rows = answer(theirs, "select a, t from lab.loaded order by a")
    same("rows loaded", rows, [(1, "x"), (2, "y"), (3, None), (4, None)])

    # A statement sent as a query runs once and says what it did.
    done = answer(theirs, "insert into lab.loaded values (7, 'q')")
    same("its answer", done[0][:2], ("INSERT 1", 1))

    # Autocommit can be switched back and forth.
    connection.adbc_connection.set_autocommit(True)
    answer(mine, "insert into lab.loaded values (8, 'q')")
    connection.adbc_connection.set_autocommit(False)
    answer(mine, "insert into lab.loaded values (9, 'q')")
    connection.rollback()
    same("rows kept", answer(theirs, "select max(a) from lab.loaded"), [(8,)])

    same("columns of the log", len(answer(theirs, "show log limit 2")), 2)
    branches = answer(theirs, "show branches")
    same("branches", [row[0] for row in branches], ["main"])
print("ok")
