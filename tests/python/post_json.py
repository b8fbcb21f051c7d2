"""Posts the standard input as JSON and prints {"status": ..., "body": ...}.

usage: post_json.py URL
"""

import json
import sys
import urllib.error
import urllib.request

request = urllib.request.Request(
    sys.argv[1], sys.stdin.buffer.read(), {"Content-Type": "application/json"}
)
try:
    answer = urllib.request.urlopen(request, timeout=60)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps({"status": answer.status, "body": json.loads(answer.read())}))
