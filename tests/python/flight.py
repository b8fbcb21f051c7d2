"""What the scripts share: a Flight SQL connection and the files of a replay."""

import csv
import pathlib
from datetime import datetime, timezone

from adbc_driver_flightsql import dbapi

TIME = "datetime"


def connect(address, token=None):
    """A connection to the Flight SQL server at host:port."""
    options = {}
    if token is not None:
        options["adbc.flight.sql.authorization_header"] = f"Bearer {token}"
    return dbapi.connect(f"grpc://{address}", db_kwargs=options, autocommit=True)


def rows_of(connection, sql):
    """The answer to `sql` as an Arrow table."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetch_arrow_table()


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def file_rows(path):
    """Rig, column names, and rows as tuples, of one file of SKAB's shape."""
    path = pathlib.Path(path)
    with path.open(newline="") as file:
        reader = csv.reader(file, delimiter=";")
        names = next(reader)
        rows = [tuple(_value(name, text) for name, text in zip(names, row)) for row in reader]
    return f"valve1-{path.stem}", names, rows


def _value(name, text):
    if name == TIME:
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    return float(text)
