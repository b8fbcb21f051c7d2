"""The peer of the benchmark: HOST PORT PREFIX ROWS FOLDER. Ends when ROWS rows are in the table."""

import json
import sys
import threading
import time

import paho.mqtt.client as mqtt
import pyarrow as pa
from deltalake import write_deltalake

host, port, prefix, rows, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]

SCHEMA = pa.schema(
    [
        ("pump", pa.string()),
        ("ts", pa.timestamp("ms", tz="UTC")),
        ("seq", pa.float64()),
        ("publisher", pa.float64()),
        ("pressure_bar", pa.float64()),
        ("flow_m3h", pa.float64()),
        ("vibration_mm_s", pa.float64()),
        ("temperature_c", pa.float64()),
        ("current_a", pa.float64()),
        ("running", pa.bool_()),
        ("fault", pa.string()),
        ("fw", pa.string()),
    ]
)

waiting: list[dict] = []
lock = threading.Lock()
received = 0
everything = threading.Event()


def on_message(_client, _userdata, message) -> None:
    global received
    row = json.loads(message.payload)
    row["pump"] = message.topic.split("/")[1]
    with lock:
        waiting.append(row)
    received += 1
    if received == rows:
        everything.set()


def append() -> int:
    global waiting
    with lock:
        taken, waiting = waiting, []
    if taken:
        write_deltalake(folder, pa.Table.from_pylist(taken, schema=SCHEMA), mode="append")
    return len(taken)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="bench-peer", clean_session=True)
client.on_message = on_message
client.on_subscribe = lambda *_: print("subscribed", flush=True)
client.connect(host, port)
client.subscribe(f"{prefix}/#", qos=1)
client.loop_start()

written = 0
while written < rows:
    due = time.monotonic() + 1
    while not everything.is_set() and time.monotonic() < due:
        everything.wait(due - time.monotonic())
    written += append()
client.disconnect()
client.loop_stop()
print("done", flush=True)
