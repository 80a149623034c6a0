"""Answers of the wire, as a daemon would write them."""

from __future__ import annotations

import json

RESULTS = {"type": "results", "id": 1, "done": True, "items": [], "errors": [], "status": "complete"}


def item(name, key="k1", plugin="echo"):
    return {"key": key, "plugin": plugin, "name": name, "exec": "true", "keywords": ""}


def line(**fields):
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def results(*items, **fields):
    return line(**(RESULTS | {"items": list(items)} | fields))
