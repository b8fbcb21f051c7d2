"""Puts a file into a bucket: put_s3.py ENDPOINT REGION ACCESS_KEY SECRET_KEY FILE BUCKET/KEY"""

import sys

from pyarrow import fs

endpoint, region, access_key, secret_key, file, key = sys.argv[1:]
store = fs.S3FileSystem(
    access_key=access_key,
    secret_key=secret_key,
    region=region,
    endpoint_override=endpoint,
)
with open(file, "rb") as source, store.open_output_stream(key) as target:
    target.write(source.read())
