"""`swiftctl check FILE.wasm`: would it be a plugin? Tried by the daemon, as if it were installed."""

from __future__ import annotations

import time
from pathlib import Path

from swiftctl import STATUS_ANSWER, STATUS_DAEMON_ERROR, show
from swiftctl.logs import in_words
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options
    from swiftctl.jsonlines import Message


def run(options: Options) -> int:
    """Have it tried, and print what came of it."""
    request: Message = {"op": "check", "path": str(Path(options.path).absolute())}
    if options.text:
        request["input"] = options.text
    if options.plugin is not None:
        request["plugin"] = options.plugin
    connection = connect(options, time.monotonic() + options.timeout)
    try:
        line, answer = connection.ask(request)
    finally:
        connection.close()
    if options.form == "json":
        show.write(show.json_line(line))
    else:
        show.write("".join(f"{line}\n" for line in _report(options, answer)).encode(errors="replace"))
    return STATUS_ANSWER if answer["accepted"] and not answer["error"] else STATUS_DAEMON_ERROR


def _report(options: Options, answer: Message) -> list[str]:
    verdict = show.colour("a plugin", "green") if answer["accepted"] else show.colour("refused", "red")
    facts = {
        "file": f"{options.path}, {show.size(answer['size'])}",
        "verdict": verdict,
        "tried with": _given(answer),
        "error": show.harmless(answer["error"] or ""),
        "contract": answer["contract"],
        "language": answer["language"],
        "trigger": f"'{show.harmless(answer['trigger'])}'" if answer["trigger"] is not None else None,
        "imports": ", ".join(map(show.harmless, answer["imports"])),
        "compiled in": show.milliseconds(answer["times"]["compile_ms"]),
        "loaded in": show.milliseconds(answer["times"]["load_ms"]),
    }
    lines = [f"{name:12} {value}" for name, value in facts.items() if value]
    lines += [f"{'problem':12} {show.harmless(problem)}" for problem in answer.get("problems", ())]
    lines += [f"{'denied':12} {show.denial(found)}" for found in answer["denied"]]
    lines += [f"{'log':12} {in_words(entry)}" for entry in answer["log"]]
    for item in answer["items"] or ():
        command = f"  ({show.harmless(item['exec'])})" if item["exec"] else ""
        lines.append(f"{'item':12} {show.harmless(item['name'])}{command}")
    return lines


def _given(answer: Message) -> str:
    """What it had, beside what every plugin has."""
    if answer.get("plugin") is None:
        return "no grants and no settings (`--as PLUGIN`: those of that one)"
    grants = {key: "" if value is True else f" {', '.join(value)}" for key, value in answer["grants"].items()}
    given = [f"{key}{value}" for key, value in grants.items()]
    given += [f"settings {', '.join(answer['settings'])}"] if answer["settings"] else []
    return show.harmless(f"what {answer['plugin']} has: {'; '.join(given) or 'no grants and no settings'}")
