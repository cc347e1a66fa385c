"""Publishes a message over MQTT, waits until it comes back, and says what happened."""
import sys

import paho.mqtt.client as mqtt

host, port, version = sys.argv[1], int(sys.argv[2]), sys.argv[3]
protocol = mqtt.MQTTv5 if version == "5" else mqtt.MQTTv311
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, transport="websockets", protocol=protocol)
client.ws_set_options(path="/mqtt")
client.username_pw_set("demo.key1", "local-only")


def on_connect(client, _data, _flags, reason, _properties):
    print("refused" if reason.is_failure else "connected")
    client.subscribe("paho/room", qos=1)


def on_subscribe(client, _data, _mid, reasons, _properties):
    print("granted", reasons[0].value)
    client.publish("paho/room", "hello", qos=1)


def on_message(client, _data, message):
    print(f"got {message.topic}: {message.payload.decode()}")
    client.disconnect()


client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.connect(host, port)
client.loop_forever()
print("closed")
