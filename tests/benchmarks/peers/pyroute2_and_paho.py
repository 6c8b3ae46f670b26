"""The script that people would write instead: each change of a link is one message. Its argument is a broker's port."""

import json
import socket
import sys

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from pyroute2 import IPRoute  # type: ignore[import-untyped]  # it has no types

MEMBERS = ("IFLA_IFNAME", "IFLA_MTU", "IFLA_OPERSTATE", "IFLA_ADDRESS")

client = Client(CallbackAPIVersion.VERSION2)
client.connect("127.0.0.1", int(sys.argv[1]))
connection = client.socket()
assert isinstance(connection, socket.socket)
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
client.loop_start()
with IPRoute() as route:
    route.bind()
    while True:
        for message in route.get():
            if message["event"] in ("RTM_NEWLINK", "RTM_DELLINK"):
                state = {member: message.get_attr(member) for member in MEMBERS}
                client.publish(f"links/{state['IFLA_IFNAME']}", json.dumps(state | {"event": message["event"]}), qos=1)
