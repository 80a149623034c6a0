#!/usr/bin/env python3
"""A client of swiftd in a few lines: `query.py TEXT …` prints the names of each answer's items. Needs msgpack.

A frame is a msgpack map, then a newline. Do not read lines: the byte 0x0A is also data, such as the number 10 of an id.
A streaming unpacker knows where each map ends; to it a newline between them is the integer 10, which is dropped.
"""

import os
import socket
import sys

import msgpack


def frames(daemon):
    """Every map that comes, until the daemon hangs up."""
    unpacker = msgpack.Unpacker()
    while data := daemon.recv(1 << 16):
        unpacker.feed(data)
        yield from (frame for frame in unpacker if isinstance(frame, dict))


with socket.socket(socket.AF_UNIX) as daemon:
    daemon.connect(os.environ.get("SWIFT_SOCKET") or os.environ["XDG_RUNTIME_DIR"] + "/swift/swiftd.sock")
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
