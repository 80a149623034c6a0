"""config.toml as structs: what the user may set, and what each means.

Everything is checked here, when the file is read: an unknown key, a wrong type or a value out of range is a
ConfigError that names the key and the line. The rest of the program never sees a broken configuration.
"""

from __future__ import annotations

import codecs
import logging
import math
import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from swiftd import files, toml
from swiftd.errors import SwiftError
from swiftd.exposure import exposed
from swiftd.sandbox.messages import Limits
from swiftd.spelling import composed, nearest, strangers, toml_key
from swiftd.text import beginning, is_harmless
from swiftd.triggers import problem_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

LARGEST_FILE = 256 * 1024
"""Bytes of the file: five thousand lines. The worst of that size is read in 1.5 s and 0.1 GB."""
MOST_ENTRIES = 200
"""Paths, or variables, that one list of grants names."""
MOST_NESTED = 64
"""How deep settings lie in each other. Those of a plugin that asks for more would be hard to write."""
LONGEST_NAME = 255
"""Bytes of a plugin's name, which is a file's."""

_log = logging.getLogger(__name__)


class ConfigError(SwiftError):
    """The file can't be used: what is wrong, in which line, and what is allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(beginning(message))  # the file may hold anything, also a key of its whole length


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
        if isinstance(text, str) and (found := re.fullmatch(r"(\d{1,9})\s*(KiB|MiB|GiB)", text.strip())):
            size = int(found[1]) * cls._UNITS[found[2]]
            if 64 * 1024 <= size <= 4 * 1024**3:  # one page of wasm, and all that 32 bits can address
                return cls(size)
        raise ValueError('expected a size from "64KiB" to "4GiB"')


Entries = Annotated[list[str], msgspec.Meta(max_length=MOST_ENTRIES)]


class GrantSettings(msgspec.Struct, forbid_unknown_fields=True):
    """What a plugin may reach, as written. Paths may start with `~` or `$XDG_...`."""

    read: Entries = []
    write: Entries = []
    env: Entries = []
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
        """One plugin's settings; all defaults where it has no section.

        A file from elsewhere may have its letters and accents as two characters, which nobody types.
        """
        if (found := self.plugins.get(name)) is None and not name.isascii():
            alike = (section for key, section in self.plugins.items() if composed(key) == composed(name))
            found = next(alike, None)
        return found or PluginSettings()


class ConfigFile:
    """config.toml and what of it is in force: the last content that was valid."""

    def __init__(self, path: Path) -> None:
        self.current = Config()
        self.problem: str | None = None
        """What is wrong with the file's content now, if it is not in force."""
        self.strangers: list[str] = []
        """What is to be said of the sections in force that are for no plugin there is."""
        self._path = path
        self._read: str | None = None  # what the last look found; None where nothing could be read
        self._sections: dict[str, int] = {}
        self._compared: frozenset[str] | None = None

    def refresh(self) -> bool:
        """Read the file again. True: something else is in force now. Blocks, a second for the worst: for a thread."""
        before, self._read = self._read, None
        try:
            self._read = text = _text(self._path)
            if text == before:
                return False
            new = _parsed(self._path, text)
        except ConfigError as error:
            if self.problem != str(error):
                _log.error("%s; what was in force before still is", error)
            self.problem = str(error)
            return False
        if self.problem is not None:
            _log.info("%s is valid again", self._path)
        self.problem = None
        changed = new != self.current
        if changed:
            self.current = new
        self._sections = _sections(new.plugins, text)
        self._compared = None
        return changed

    def compare(self, plugins: Collection[str]) -> None:
        """See which sections are for none of these plugins. They stay in force: the plugin may come."""
        if self._compared == (known := frozenset(plugins)):
            return
        self._compared = known
        found = strangers(self._sections, plugins)
        for message in found:
            if message not in self.strangers:
                _log.warning("%s, %s", self._path, message)
        self.strangers = found


def read(path: Path) -> Config:
    """The configuration in the file at `path`; the defaults if there is none.

    Raises:
        ConfigError: it can't be read or is not valid.

    """
    return _parsed(path, _text(path))


def _parsed(path: Path, text: str) -> Config:
    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{path}, {error}") from error


def _text(path: Path) -> str:
    """What the file holds; nothing, if there is none. Editors elsewhere start it with a byte order mark."""
    try:
        if why := exposed(str(path)):  # who writes it grants folders
            raise ConfigError(f"{path}: it is not read, as {why}")
        data = files.read(path, LARGEST_FILE)
    except FileNotFoundError:
        if path.is_symlink():
            raise ConfigError(f"{path}: it is a link that leads nowhere") from None
        return ""
    except OSError as error:
        raise ConfigError(f"{path}: it can't be read: {files.reason(error)}") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or data[1:2] == b"\0" or data[:1] == b"\0":
        raise ConfigError(f"{path}, line 1: it is written in UTF-16: save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise ConfigError(f"{path}, line {line}: the byte 0x{byte:02X} is no UTF-8: save it as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse(text: str) -> Config:
    """The configuration that `text` holds.

    Raises:
        ConfigError: `line N: ...`.

    """
    try:
        return _checked(text)
    except (RecursionError, MemoryError) as error:  # Python's own limits: they may be lower than ours
        raise ConfigError("line 1: it takes more memory, or is nested deeper, than this system allows") from error


def _checked(text: str) -> Config:
    try:
        raw = toml.load(text)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    try:
        config = msgspec.convert(raw, Config, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise _located(str(error), raw, text) from error
    _check_settings(config.settings, ["settings"], text)
    for name, plugin in config.plugins.items():
        if len(name.encode()) > LONGEST_NAME:
            line = _line_of(["plugins", name], text)
            raise ConfigError(f"line {line}: no plugin's name has more than {LONGEST_NAME} bytes, found {name!r}")
        _check_settings(plugin.settings, ["plugins", name, "settings"], text)
        _check_plugin(plugin, ["plugins", name], text)
    return config


def _check_plugin(plugin: PluginSettings, keys: list[str], text: str) -> None:
    """Check what the types don't say.

    Raises:
        ConfigError: a value would have no effect, or none that was meant.

    """
    if plugin.trigger is not None and (problem := problem_of(plugin.trigger)) is not None:
        raise ConfigError(f"line {_line_of([*keys, 'trigger'], text)}: `trigger`: {problem}")
    grants = plugin.grants
    for key, entries in (("read", grants.read), ("write", grants.write), ("env", grants.env)):
        seen = set()
        for entry in entries:
            problem = _problem_of_variable(entry) if key == "env" else None
            if not entry.strip():
                problem = f"expected {'a name' if key == 'env' else 'a path'}, found {entry!r}"
            elif entry in seen:
                problem = f"{entry!r} is there twice"
            seen.add(entry)
            if problem is not None:
                raise ConfigError(f"line {_line_of([*keys, 'grants', key], text, entry)}: `{key}`: {problem}")


def _problem_of_variable(name: str) -> str | None:
    if re.fullmatch(r"[^\s=$'\"{}]+", name) and is_harmless(name):
        return None
    meant = re.match(r"\s*\$?\{?([A-Za-z_]\w*)", name)
    hint = f": write {meant[1]!r}, and the plugin gets what swiftd has under it" if meant else ""
    return f"expected the name of an environment variable, found {name!r}{hint}"


def _check_settings(value: object, keys: list[str], text: str, depth: int = 0) -> None:
    """Check that a plugin can be given these settings, which it gets as JSON.

    Raises:
        ConfigError: one of them is a number that JSON has no place for, or lies too deep.

    """
    if depth > MOST_NESTED:
        raise ConfigError(f"line {_line_of(keys, text)}: `settings`: they are nested more than {MOST_NESTED} deep")
    match value:
        case dict():
            for key, part in value.items():
                _check_settings(part, [*keys, key], text, depth + 1)
        case list():
            for part in value:
                _check_settings(part, keys, text, depth + 1)
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
        what = "there is no such setting" + _meant(unknown[1], keys, raw)
        keys.append(unknown[1])
    key = keys[-1] if keys else ""
    return ConfigError(f"line {_line_of(keys, text)}: `{key}`: {what[0].lower() + what[1:]}")


def _meant(unknown: str, keys: list[str], raw: dict[str, Any]) -> str:
    """A suggestion for a key that is unknown in this place."""
    kinds: dict[int, type[msgspec.Struct]] = {0: Config, 2: PluginSettings, 3: GrantSettings}
    if (kind := kinds.get(len(keys))) is None:
        return ""
    if guess := nearest(unknown, kind.__struct_fields__):
        return f": did you mean `{guess}`?"
    if kind is PluginSettings and unknown in GrantSettings.__struct_fields__:
        return f": did you mean `grants.{unknown}`?"
    if kind is Config and isinstance(raw[unknown], dict):
        return f": did you mean `[plugins.{toml_key(unknown)}]`?"
    return ""


def _broken_plugin(sections: dict[str, Any]) -> str:
    """The name of the first section that is not valid: the path in a message leaves it out."""
    for name, section in sections.items():
        try:
            msgspec.convert(section, PluginSettings, dec_hook=_decode)
        except msgspec.ValidationError:
            return name
    return ""


_HEAD = re.compile(r"""(?m)^[ \t]*\[[ \t]*plugins[ \t]*\.[ \t]*(?:"([^"\n]*)"|'([^'\n]*)'|([\w-]+))""")
_KEY = re.compile(r"""(?m)(?:"([^"\n]*+)"|'([^'\n]*+)'|(?<![\w-])([\w-]++))[ \t]*+[=.]""")


def _sections(names: Collection[str], text: str) -> dict[str, int]:
    """The line where each section begins, all of them in one go: there may be thousands."""
    lines: dict[str, int] = {}
    for spelled in (_HEAD, _KEY):  # where a section has a head of its own, that is surely it
        line, seen = 1, 0
        for found in spelled.finditer(text):
            line, seen = line + text.count("\n", seen, found.start()), found.start()
            lines.setdefault(found[1] or found[2] or found[3], line)
    return {name: lines.get(name, 1) for name in names}


def _line_of(keys: list[str], text: str, value: str | None = None) -> int:
    """The line that sets the last of these keys: each is looked for from where the one before it was found.

    With a value it is the line that holds that, of a list of several lines.
    """
    lines = [line.partition("#")[0] for line in text.split("\n")]
    at = 0
    if keys[:1] == ["plugins"] and len(keys) > 1:  # where a section has a head of its own, that is surely it
        head = re.compile(rf"^\s*\[\s*plugins\s*\.\s*[\"']?{re.escape(keys[1])}[\"']?\s*[.\]]")
        at = next((number for number, line in enumerate(lines) if head.search(line)), at)
    for key in keys:
        spelled = re.compile(rf"(?:^|[\s.{{,\[\"']){re.escape(key)}[\"']?\s*[=.\]]")
        at = next((number for number in range(at, len(lines)) if spelled.search(lines[number])), at)
    if value:
        at = next((number for number in range(at, len(lines)) if value in lines[number]), at)
    return at + 1
