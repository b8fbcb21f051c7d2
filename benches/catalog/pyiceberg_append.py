"""Append commits a second with PyIceberg's SQLite catalog: FOLDER own|shared SECONDS WRITERS ROWS."""

import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException

folder, mode, seconds, writers, rows = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6])
folder.mkdir(parents=True)


def connect() -> SqlCatalog:
    return SqlCatalog("bench", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")


batch = pa.table(
    {
        "id": pa.array(range(rows), pa.int64()),
        "value": pa.array([i / 2 for i in range(rows)], pa.float64()),
    }
)
names = [f"bench.{'shared' if mode == 'shared' else f't{w}'}" for w in range(writers)]
catalog = connect()
catalog.create_namespace("bench")
for name in sorted(set(names)):
    catalog.create_table(name, schema=batch.schema)

commits = [0] * writers
failures: list[BaseException] = []
start = threading.Barrier(writers + 1)


def write(writer: int) -> None:
    try:
        table = connect().load_table(names[writer])
        start.wait()
        while time.monotonic() < end:
            try:
                table.append(batch)
                commits[writer] += 1
            except CommitFailedException:
                table.refresh()
    except BaseException as error:
        failures.append(error)
        raise


threads = [threading.Thread(target=write, args=[w]) for w in range(writers)]
end = float("inf")
for thread in threads:
    thread.start()
start.wait()
began = time.monotonic()
end = began + seconds
for thread in threads:
    thread.join()
if failures:
    raise failures[0]
print(sum(commits) / (time.monotonic() - began))
