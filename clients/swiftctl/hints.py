"""What can be asked: the plugins' triggers, each with an example."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl.jsonlines import Message

EXAMPLES = {"calc": "2+2*3", "echo": "hello"}
"""For the bundled plugins, what can follow the trigger."""

SHOWN = 12
"""Lines, so that a menu keeps room for its rows."""

OTHERS = {("found", "compiling"): "still compiling", ("refused",): "refused (`swiftctl plugins` says why)"}
OFF = "all plugins are switched off: `swiftctl enable` switches one on"
NONE = "no plugins: put .wasm files into the folder `swift/plugins` of your configuration"


def lines(plugins: list[Message]) -> list[str]:
    """A line for each plugin that answers, and what is to be known of the others."""
    return [line for line, _ in rows(plugins)]


def rows(plugins: list[Message]) -> list[tuple[str, str]]:
    """The same lines, each with the trigger that it tells of; no trigger where it tells of something else."""
    ready = [plugin for plugin in plugins if plugin["state"] in ("ready", "failing") and plugin["trigger"] is not None]
    told = [(_line(plugin), plugin["trigger"]) for plugin in sorted(ready, key=_order)]
    if len(told) > SHOWN:
        told[SHOWN - 1 :] = [(f"… and {len(told) - SHOWN + 1} more: `swiftctl plugins` lists them", "")]
    for states, what in OTHERS.items():
        names = [plugin["name"] for plugin in plugins if plugin["state"] in states]
        if names:
            told.append((f"{what}: {', '.join(names)}", ""))
    if not told:
        told.append((OFF if plugins else NONE, ""))
    return told


def triggers(plugins: list[Message]) -> str:
    """The triggers alone, such as `= >`, for where there is little room."""
    return " ".join(sorted({plugin["trigger"] for plugin in plugins if plugin["trigger"]}))


def _line(plugin: Message) -> str:
    trigger = plugin["trigger"]
    if not trigger:
        return f"{plugin['name']}: whatever no other plugin takes"
    example = EXAMPLES.get(plugin["name"], "…") if plugin["bundled"] else "…"
    return f"{plugin['name']}: {trigger}{example}"


def _order(plugin: Message) -> tuple[bool, str]:
    return not plugin["trigger"], plugin["name"]
