"""Compares a table with the CSV files replayed into it, value for value, over Flight SQL.

usage: compare_rows.py ADDRESS TABLE FILE...
"""

import sys

import flight

address, table, *files = sys.argv[1:]
faults = []

with flight.connect(address) as connection:
    expected_total = 0
    for path in files:
        rig, names, expected = flight.file_rows(path)
        expected_total += len(expected)
        columns = ", ".join(flight.quoted(name) for name in names)
        sql = f"select {columns} from {table} where rig = '{rig}'"
        found = flight.rows_of(connection, sql)
        found = list(zip(*(found.column(name).to_pylist() for name in names)))
        # Order is not part of the promise; how often a row is there is.
        missing = sorted(set(expected) - set(found))
        strange = sorted(set(found) - set(expected), key=repr)
        if missing or strange or sorted(expected) != sorted(found):
            faults.append(
                f"{rig}: {len(expected)} rows in the file, {len(found)} in the table;"
                f" not in the table: {missing[:3]}; not in the file: {strange[:3]}"
            )
        wanted = {"rig", *names}
        sql = f"select * from {table} where rig = '{rig}' limit 1"
        if set(flight.rows_of(connection, sql).column_names) != wanted:
            faults.append(f"{rig}: columns are not {sorted(wanted)}")
    total = flight.rows_of(connection, f"select count(*) as n from {table}")["n"][0].as_py()
    if total != expected_total:
        faults.append(f"{total} rows in the table, {expected_total} in the files")

print(f"compared {expected_total} rows of {len(files)} files")
if faults:
    sys.exit("\n".join(faults))
