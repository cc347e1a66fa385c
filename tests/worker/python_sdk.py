"""What a user of the `ably` package for Python does; called with the server's port, a channel and a token for ann. Prints
what came of it."""

import asyncio
import json
import sys

from ably import AblyRealtime, AblyRest
from ably.types.annotation import Annotation
from ably.types.channelmode import ChannelMode
from ably.types.channeloptions import ChannelOptions
from ably.types.message import Message

PORT, NAME, TOKEN = int(sys.argv[1]), *sys.argv[2:]
OPTIONS = {"token": TOKEN, "tls": False, "client_id": "ann"}
# Its connections obey no `port`: it stands in the name of the host.
OF_CONNECTION = {**OPTIONS, "endpoint": f"127.0.0.1:{PORT}"}
OF_REST = {**OPTIONS, "endpoint": "127.0.0.1", "port": PORT}
MODES = [ChannelMode.PUBLISH, ChannelMode.SUBSCRIBE, ChannelMode.PRESENCE, ChannelMode.PRESENCE_SUBSCRIBE,
         ChannelMode.ANNOTATION_PUBLISH, ChannelMode.ANNOTATION_SUBSCRIBE]


class Heard:
    """What comes, and who waits for it."""

    def __init__(self):
        self.all = []
        self.changed = asyncio.Event()

    def hear(self, item):
        self.all.append(item)
        self.changed.set()

    async def until(self, count):
        while len(self.all) < count:
            self.changed.clear()
            await self.changed.wait()
        return self.all


async def over_realtime(binary):
    realtime = AblyRealtime(**OF_CONNECTION, use_binary_protocol=binary)
    channel = realtime.channels.get(f"{NAME}-{binary}", ChannelOptions(modes=MODES))
    heard, annotations = Heard(), Heard()
    await channel.subscribe(heard.hear)
    await channel.annotations.subscribe(annotations.hear)
    published = await channel.publish("score", {"set": 1})
    serial = published.serials[0]
    await channel.update_message(Message(serial=serial, data="30"))
    await channel.append_message(Message(serial=serial, data="-0"))
    await channel.annotations.publish(serial, Annotation(type="reaction:distinct.v1", name="clap"))
    await annotations.until(1)
    await heard.until(4)
    await channel.delete_message(Message(serial=serial, data=""))
    await heard.until(5)
    await channel.presence.enter("here")
    members = await channel.presence.get()
    await realtime.close()
    async with AblyRest(**OF_REST, use_binary_protocol=binary) as rest:
        stored = rest.channels.get(f"{NAME}-{binary}")
        now = await stored.get_message(serial)
        versions = await stored.get_message_versions(serial)
    return {
        "heard": [[int(message.action), message.data] for message in heard.all],
        "annotations": [[one.type, one.name, one.client_id] for one in annotations.all],
        "members": [[member.client_id, member.data] for member in members],
        "now": [int(now.action), now.data],
        "versions": [int(version.action) for version in versions.items],
    }


async def over_rest(binary):
    async with AblyRest(**OF_REST, use_binary_protocol=binary) as rest:
        channel = rest.channels.get(f"{NAME}-rest-{binary}")
        published = await channel.publish("score", b"\x00\xff")
        await channel.publish_messages([Message("a", "one", id="once")])
        await channel.publish_messages([Message("a", "one", id="once")])
        await channel.update_message(Message(serial=published.serials[0], data="15"))
        history = await channel.history(direction="forwards")
        status = await channel.status()
        return {
            "history": [[message.name, message.data] for message in history.items],
            "active": status.status.is_active,
        }


async def main():
    print(json.dumps({
        "realtime": [await over_realtime(binary) for binary in (True, False)],
        "rest": [await over_rest(binary) for binary in (True, False)],
    }))


asyncio.run(asyncio.wait_for(main(), 60))
