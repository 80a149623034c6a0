#!/usr/bin/env python3
"""A client of swiftd in a few lines: `query.py TEXT …` prints the names of each answer's items. Needs msgpack.

A frame is a msgpack map, then a newline. Do not read lines: the byte 0x0A is also data, such as the number 10 of an id.
A streaming unpacker knows where each map ends; to it a newline between them is the integer 10, which is dropped.

Whoever listens is sent what is typed and says what would be run: ask the kernel who that is before sending anything.
Exit status: 0 all was answered, 1 something went wrong, 3 another user listens, and nothing was sent.
"""

import os
import socket
import struct
import sys

import msgpack


def frames(daemon):
    """Every map that comes, until the daemon hangs up."""
    unpacker = msgpack.Unpacker()
    while data := daemon.recv(1 << 16):
        unpacker.feed(data)
        yield from (frame for frame in unpacker if isinstance(frame, dict))


with socket.socket(socket.AF_UNIX) as daemon:
    path = os.environ.get("SWIFT_SOCKET") or os.environ["XDG_RUNTIME_DIR"] + "/swift/swiftd.sock"
    daemon.connect(path)
    _, user, _ = struct.unpack("iII", daemon.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user != os.geteuid():
        print(f"user {user} listens at {path}, and you are {os.geteuid()}: nothing was sent", file=sys.stderr)
        sys.exit(3)
    answers = frames(daemon)
    for number, text in enumerate(sys.argv[1:], 1):
        request = {"id": number, "op": "query", "input": text, "wait_ms": 10_000}
        daemon.sendall(msgpack.packb(request) + b"\n")
        # An id of None: the request was not understood, such as one of more than 64 KiB.
        last = next((frame for frame in answers if frame["id"] in (number, None) and frame["done"]), None)
        if last is None:
            sys.exit("the daemon hung up")
        if last["type"] == "error":
            sys.exit(last["message"])
        for item in last["items"]:
            print(item["name"])  # from a plugin: it may hold what drives a terminal
        for error in last["errors"]:
            print(f"{error['plugin']}: {error['message']}", file=sys.stderr)
