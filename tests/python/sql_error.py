"""Checks that a wrong statement fails with a proper status and leaves the connection usable.

usage: sql_error.py ADDRESS
"""

import sys

import adbc_driver_manager as adbc
import flight

STATEMENTS = {
    "selec 1": (adbc.AdbcStatusCode.INVALID_ARGUMENT, "selec"),
    "select no_such_column from (select 1 as a)": (
        adbc.AdbcStatusCode.INVALID_ARGUMENT,
        "no_such_column",
    ),
    "select * from no_such.table_here": (adbc.AdbcStatusCode.NOT_FOUND, "table_here"),
}

with flight.connect(sys.argv[1]) as connection:
    for sql, (status, mention) in STATEMENTS.items():
        try:
            flight.rows_of(connection, sql)
        except adbc.Error as error:
            if error.status_code != status or mention not in str(error):
                sys.exit(f"{sql}: {error.status_code!r} {error}")
        else:
            sys.exit(f"{sql}: no error")
    if flight.rows_of(connection, "select 40 + 2 as n").to_pylist() != [{"n": 42}]:
        sys.exit("the connection is spoiled")
print("ok")
