"""config.toml as structs: what the user may set, and what each means.

Everything is checked here, when the file is read: an unknown key, a wrong type or a value out of range is a
ConfigError that names the key and the line. The rest of the program never sees a broken configuration.
"""

from __future__ import annotations

import logging
import math
import os
import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from swiftd.errors import SwiftError
from swiftd.sandbox.messages import Limits

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_FILE = 1024 * 1024
"""Characters that are read of the file."""

_log = logging.getLogger(__name__)


class ConfigError(SwiftError):
    """The file can't be used: what is wrong, in which line, and what is allowed."""


class Duration(float):
    """Seconds. Written as `"500ms"`, `"1.5s"` or `"2m"`."""

    _UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}  # noqa: RUF012 - a constant table

    @classmethod
    def parse(cls, text: object) -> Duration:
        """Read it.

        Raises:
            ValueError: it is written otherwise.

        """
        if isinstance(text, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m)", text.strip())):
            seconds = float(found[1]) * cls._UNITS[found[2]]
            if 0 < seconds <= 60:  # noqa: PLR2004 - a minute: nobody waits longer for a row
                return cls(seconds)
        raise ValueError('expected a time of at most a minute, such as "500ms" or "2s"')


class Size(int):
    """Bytes. Written as `"64MiB"`, `"512KiB"` or `"1GiB"`."""

    _UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}  # noqa: RUF012 - a constant table

    @classmethod
    def parse(cls, text: object) -> Size:
        """Read it.

        Raises:
            ValueError: it is written otherwise.

        """
        if isinstance(text, str) and (found := re.fullmatch(r"(\d+)\s*(KiB|MiB|GiB)", text.strip())):
            size = int(found[1]) * cls._UNITS[found[2]]
            if 64 * 1024 <= size <= 4 * 1024**3:  # one page of wasm, and all that 32 bits can address
                return cls(size)
        raise ValueError('expected a size from "64KiB" to "4GiB"')


class GrantSettings(msgspec.Struct, forbid_unknown_fields=True):
    """What a plugin may reach, as written. Paths may start with `~` or `$XDG_...`."""

    read: list[str] = []
    write: list[str] = []
    env: list[str] = []
    clock: bool = False


class PluginSettings(msgspec.Struct, forbid_unknown_fields=True):
    """One `[plugins.NAME]` section."""

    trigger: str | None = None
    enabled: bool = True
    deadline: Duration = Duration(Limits().deadline)
    memory: Size = Size(Limits().memory)
    max_items: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = Limits().max_items
    grants: GrantSettings = msgspec.field(default_factory=GrantSettings)
    settings: dict[str, Any] = msgspec.field(default_factory=dict)


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    workers: Annotated[int, msgspec.Meta(ge=2, le=32)] = 2
    """Worker processes. Two at least, so that a slow plugin never holds them all."""
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    """What every plugin's `get-user-config` returns, under its own."""
    plugins: dict[str, PluginSettings] = msgspec.field(default_factory=dict)

    def plugin(self, name: str) -> PluginSettings:
        """One plugin's settings; all defaults where it has no section."""
        return self.plugins.get(name) or PluginSettings()


class ConfigFile:
    """config.toml and what of it is in force: the last content that was valid."""

    def __init__(self, path: Path) -> None:
        self.current = Config()
        self.problem: str | None = None
        """What is wrong with the file's content now, if it is not in force."""
        self._path = path

    def refresh(self) -> bool:
        """Read the file again. True: something else is in force now. Blocks for one small file."""
        try:
            new = read(self._path)
        except ConfigError as error:
            if self.problem != str(error):
                _log.error("%s; what was in force before still is", error)
            self.problem = str(error)
            return False
        if self.problem is not None:
            _log.info("%s is valid again", self._path)
        self.problem = None
        changed = new != self.current
        self.current = new
        return changed


def read(path: Path) -> Config:
    """The configuration in the file at `path`; the defaults if there is none.

    Raises:
        ConfigError: it can't be read or is not valid.

    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hold us up
        with open(number, encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            text = file.read(LARGEST_FILE)
    except FileNotFoundError:
        return Config()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{path}, {error}") from error


def parse(text: str) -> Config:
    """The configuration that `text` holds.

    Raises:
        ConfigError: `line N: ...`.

    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at (?:line (\d+), column \d+|end of document)\)$", str(error))
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        raise ConfigError(f"line {line}: {re.sub(r' .at .*$', '', str(error))}") from error
    except ValueError as error:  # an integer of thousands of digits
        raise ConfigError(f"line 1: {error}") from error
    except RecursionError as error:
        raise ConfigError("line 1: the file is nested too deeply to be read") from error
    try:
        config = msgspec.convert(raw, Config, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise _located(str(error), raw, text) from error
    _check_settings(config.settings, ["settings"], text)
    for name, plugin in config.plugins.items():
        _check_settings(plugin.settings, ["plugins", name, "settings"], text)
    return config


def _check_settings(value: object, keys: list[str], text: str) -> None:
    """Check that a plugin can be given these settings, which it gets as JSON.

    Raises:
        ConfigError: one of them is a number that JSON has no place for.

    """
    match value:
        case dict():
            for key, part in value.items():
                _check_settings(part, [*keys, key], text)
        case list():
            for part in value:
                _check_settings(part, keys, text)
        case float() if math.isnan(value):
            raise ConfigError(f"line {_line_of(keys, text)}: `{keys[-1]}`: expected a number, found nan")
        case int() if not -(2**63) <= value < 2**63:
            raise ConfigError(f"line {_line_of(keys, text)}: `{keys[-1]}`: expected a number of at most 64 bits")


def _decode(kind: type, value: object) -> object:
    return kind.parse(value) if issubclass(kind, Duration | Size) else value


def _located(message: str, raw: dict[str, Any], text: str) -> ConfigError:
    """The message of msgspec, `... - at `$.plugins[...].deadline``, with the key's name and line."""
    what, _, place = message.partition(" - at ")
    path = place.strip("`").removeprefix("$")
    keys = re.findall(r"\.([\w-]+)", path)
    if path.startswith(".plugins[...]"):
        keys.insert(1, _broken_plugin(raw["plugins"]))
    if unknown := re.search(r"unknown field `(.*?)`", what):
        keys.append(unknown[1])
        what = "there is no such setting"
    key = keys[-1] if keys else ""
    return ConfigError(f"line {_line_of(keys, text)}: `{key}`: {what[0].lower() + what[1:]}")


def _broken_plugin(sections: dict[str, Any]) -> str:
    """The name of the first section that is not valid: the path in a message leaves it out."""
    for name, section in sections.items():
        try:
            msgspec.convert(section, PluginSettings, dec_hook=_decode)
        except msgspec.ValidationError:
            return name
    return ""


def _line_of(keys: list[str], text: str) -> int:
    """The line that sets the last of these keys: each is looked for from where the one before it was found."""
    lines = [line.partition("#")[0] for line in text.splitlines()]
    at = 0
    for key in keys:
        spelled = re.compile(rf"(?:^|[\s.{{,\[\"']){re.escape(key)}[\"']?\s*[=.\]]")
        at = next((number for number in range(at, len(lines)) if spelled.search(lines[number])), at)
    return at + 1
