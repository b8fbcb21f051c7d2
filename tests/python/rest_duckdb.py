"""Works on a branch with DuckDB; Flight SQL must see the same.

usage: rest_duckdb.py HTTP-ADDRESS BRANCH TABLE ROWS [TOKEN]
TABLE is a table of the branch that others have written, ROWS its number of rows.
Prints the rows of its own table, lab.ducks, as JSON.
"""

import json
import pathlib
import sys

import duckdb
import duckdb_extension_avro
import duckdb_extension_httpfs
import duckdb_extension_iceberg

http, branch, table, rows, *token = sys.argv[1:]
connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
for extension in (duckdb_extension_httpfs, duckdb_extension_avro, duckdb_extension_iceberg):
    folder = pathlib.Path(extension.__file__).parent
    (path,) = folder.glob("extensions/*/*.duckdb_extension")
    connection.execute(f"load '{path}'")


def sql(text):
    return connection.execute(text).fetchall()


authorization = "authorization_type 'none'"
if token:
    sql(
        "create secret key (type iceberg, client_id 'duck', "
        f"client_secret '{token[0]}', oauth2_server_uri 'http://{http}/iceberg/v1/oauth/tokens')"
    )
    authorization = "secret key"
sql(f"attach '{branch}' as lake (type iceberg, endpoint 'http://{http}/iceberg', {authorization})")

((found,),) = sql(f"select count(*) from lake.{table}")
if found != int(rows):
    sys.exit(f"{table} has {found} rows, not {rows}")
sql("create schema if not exists lake.lab")
sql("create table lake.lab.ducks (id bigint, name varchar)")
sql("insert into lake.lab.ducks select i, 'duck ' || i from range(100) t(i)")
sql("insert into lake.lab.ducks values (200, null)")
sql("delete from lake.lab.ducks where id % 10 = 3")
sql("update lake.lab.ducks set name = 'swan' where id = 7")
sql("create table lake.lab.few as select * from lake.lab.ducks where id < 3")
sql("begin")
sql("insert into lake.lab.ducks values (300, 'both')")
sql("insert into lake.lab.few values (300, 'both')")
sql("commit")
mine = sql("select id, name from lake.lab.ducks order by id")
few = sql("select id, name from lake.lab.few order by id")
if len(mine) != 92 or len(few) != 4:
    sys.exit(f"{len(mine)} and {len(few)} rows")
sql("drop table lake.lab.few")
print(json.dumps([{"id": id, "name": name} for id, name in mine]))
