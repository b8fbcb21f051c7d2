"""Publishes rows over a WebSocket and reads them back from a subscription.

Arguments: host, port, user, password, number of rows. The broker has to answer at /mqtt.
Both versions of MQTT publish half of the rows each; every one has to be acknowledged and
to come back.
"""

import sys
import threading

import paho.mqtt.client as mqtt

TOPIC = "line/m1/telemetry"
PATIENCE = 120


def main() -> None:
    host, port, user, password, rows = sys.argv[1:]
    half = int(rows) // 2
    for turn, version in enumerate([mqtt.MQTTv311, mqtt.MQTTv5]):
        numbers = range(turn * half, (turn + 1) * half)
        publish(host, int(port), user, password, version, numbers)


def publish(host, port, user, password, version, numbers) -> None:
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, transport="websockets", protocol=version
    )
    client.username_pw_set(user, password)
    received: list[bytes] = []
    all_here = threading.Event()
    subscribed = threading.Event()

    def on_message(_client, _data, message):
        received.append(message.payload)
        if len(received) == len(numbers):
            all_here.set()

    def on_connect(client, _data, _flags, reason, _properties):
        assert not reason.is_failure, reason
        client.subscribe(TOPIC, qos=1)

    client.on_message = on_message
    client.on_connect = on_connect
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(host, port)
    client.loop_start()
    assert subscribed.wait(PATIENCE), "not subscribed"
    sent = [b'{"n": %d}' % n for n in numbers]
    for info in [client.publish(TOPIC, payload, qos=1) for payload in sent]:
        info.wait_for_publish(PATIENCE)
        assert info.is_published(), "not acknowledged"
    assert all_here.wait(PATIENCE), f"{len(received)} of {len(sent)} came back"
    assert received == sent, "in another order"
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
