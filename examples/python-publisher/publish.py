"""Publishes a message over REST, with nothing but Python's own library."""
import base64
import json
import os
import sys
import urllib.parse
import urllib.request

SERVER = os.environ.get("SERVER", "http://127.0.0.1:8787")
KEY = os.environ.get("ABLY_KEY", "demo.key1:local-only")


def publish(channel, name, data, message_id=None):
    """The same id twice is one message, so a publish that failed may be repeated."""
    message = {"name": name, "data": data, **({"id": message_id} if message_id else {})}
    request = urllib.request.Request(
        f"{SERVER}/channels/{urllib.parse.quote(channel, safe='')}/messages",
        data=json.dumps(message).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Basic {base64.b64encode(KEY.encode()).decode()}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


if __name__ == "__main__":
    channel, name, data, *message_id = sys.argv[1:]
    print(publish(channel, name, data, *message_id))
