"""`swiftctl stats`: what the daemon has done since it started."""

from __future__ import annotations

import time

from swiftctl import STATUS_ANSWER, show
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options
    from swiftctl.jsonlines import Message

HEADS = ["PLUGIN", "CALLS", "P50", "P90", "P99", "ERRORS"]


def run(options: Options) -> int:
    """Ask and print."""
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        line, answer = connection.ask({"op": "stats"})
    finally:
        connection.close()
    if options.form == "json":
        show.write(show.json_line(line))
        return STATUS_ANSWER
    alone = f"{answer['workers_apart']} for one plugin alone, " if answer.get("workers_apart") else ""
    show.write(
        f"swiftd {show.harmless(str(answer['version']))}, process {answer['pid']}, up {_duration(answer['uptime_s'])}\n"
        f"queries {answer['queries']}, open connections {answer['sessions']}, "
        f"workers {answer['workers']} ({alone}killed so far: {answer['workers_killed']})\n"
        f"in force in each worker: {show.harmless(', '.join(answer.get('hardening') or ['none yet']))}\n".encode()
    )
    if answer["plugins"]:
        show.write(b"\n" + show.table(HEADS, [_row(plugin) for plugin in answer["plugins"]]))
    return STATUS_ANSWER


def _row(plugin: Message) -> list[str]:
    latency = plugin.get("latency_ms") or {}
    errors = plugin.get("errors") or {}
    return [
        plugin["plugin"],
        str(plugin["calls"]),
        *(show.milliseconds(latency.get(share)) for share in ("p50", "p90", "p99")),
        ", ".join(f"{code} {count}" for code, count in errors.items()),
    ]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    return " ".join(filter(None, parts[:2] if days else parts)) or f"{rest} s"
