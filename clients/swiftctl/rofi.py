"""`swiftctl rofi`: rofi's script mode.

rofi calls this once for its start and once for each thing the user does, and shows what it writes. `ROFI_RETV` says
what happened, the last argument is what was typed or the row's text, `ROFI_INFO` what the row carried. A row carries
its item's key, a space, and the text that was asked: enough to show the same answer again, as rofi 1.7.3 keeps nothing
else for us. A row without a key asks that text again. Whoever has pressed a key for an answer waits for it as long as
plugins may take; in live mode, where every key asks, only to choose that row does. Later than at the start, an answer
without any row closes rofi, which is what follows a choice, and why an empty answer has one blank row that can't be
chosen.

What plugins there are is told in the message, not in rows: rofi filters rows by what is typed, and Enter would take a
row that matches instead of the text. (A text that starts with `-` even matches what does not contain it.) Rows and
options are separated by newline, NUL and 0x1F, so none of them may be in a text. The message is Pango markup, rows are
not.
"""

from __future__ import annotations

import os
import time

from swiftctl import STATUS_ANSWER, DaemonError, StrangerError, SwiftctlError, notes, show
from swiftctl.wire import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options
    from swiftctl.jsonlines import Message
    from swiftctl.wire import Connection

START, CHOSEN, TYPED, HOT_KEY = 0, 1, 2, 10
"""Values of ROFI_RETV; 10 is the first hot key, kb-custom-1 (Alt+1)."""

SOON_MS = 60
"""For the daemon at each key, of the 100 ms that a person does not notice: this program's own start takes some 30."""
LONG_MS = 3000
"""When the user has pressed Enter and waits: by then the plugins' own deadlines have passed, unless they were set."""
WAIT_MS = 2000
"""Of that, for plugins that can't be asked at once: the rest is for those to answer."""

FIRST_PATIENCE = 0.1
"""Seconds at rofi's start: a daemon that must be started first can do so while the user types."""
PATIENCE = 5.0
"""Seconds for anything else, at worst: a start of the daemon is among it."""

NAME_MAX = 500
"""Characters of a row. No screen shows more."""
PROMPT_MAX = 40

BLANK = "\xa0"  # a no-break space
HEAD = "\0use-hot-keys\x1ftrue\n\0no-custom\x1ffalse\n\0markup-rows\x1ffalse\n"
HEAD_LIVE = f"{HEAD}\0keep-filter\x1ftrue\n"


def run(options: Options) -> int:
    """Answer one call of rofi; by hand, start rofi."""
    if not options.from_rofi:
        from swiftctl import rofi_start  # noqa: PLC0415 - not on rofi's own way

        return rofi_start.run(options)
    retv = os.environ.get("ROFI_RETV", "")
    happened = int(retv) if retv.isdecimal() else START
    key, _, asked = os.environ.get("ROFI_INFO", "").partition(" ")
    call = Call(options, asked if key or asked else options.text)
    try:
        if happened == START:
            answer = call.page(None, call.hints())
        elif happened == TYPED and not options.text:  # the entry was emptied, in live mode
            answer = call.page([], call.hints())
        elif happened == TYPED:
            answer = call.query()
        elif happened == CHOSEN:
            answer = call.choose(key)
        elif happened == HOT_KEY and key:
            answer = call.copy(key)
        else:  # other hot keys, Shift+Delete: nothing happens
            answer = call.query()
    except SwiftctlError as error:
        answer = call.page([], [str(error)])
    show.write(answer.encode(errors="replace"))
    return STATUS_ANSWER


class Call:
    """One call of rofi's, about `text`."""

    def __init__(self, options: Options, text: str) -> None:
        self._options = options
        self._text = show.harmless(text)

    def hints(self) -> list[str]:
        """What can be asked."""
        try:
            _, answer = self._ask({"op": "plugins"}, FIRST_PATIENCE)
        except StrangerError:  # that won't pass
            raise
        except SwiftctlError:
            return ["swiftd is starting: type, and press Enter"]
        from swiftctl import hints  # noqa: PLC0415 - only here

        return hints.lines(answer["plugins"])

    def query(self, note: str = "", *, again: bool = False) -> str:
        """What the plugins answer. If that is not all, a row asks again, and then it is waited for in live mode too."""
        soon = self._options.live and not again
        limits = {"deadline_ms": SOON_MS} if soon else {"deadline_ms": LONG_MS, "wait_ms": WAIT_MS}
        _, answer = self._ask({"op": "query", "input": self._text, **limits})
        rows = [self._row(item["name"], item["key"]) for item in answer["items"]]
        told = notes.of(answer)
        if notes.unfinished(answer):
            rows.append(self._row("… ask again, and wait longer", ""))
        elif not rows and not answer["errors"]:
            told = [f"{line} for {self._text}" for line in told]
        return self.page(rows, [note, *told])

    def choose(self, key: str) -> str:
        """Start the item of that key, and let rofi close; without a key, ask again."""
        if not key:
            return self.query(again=True)
        try:
            item = self._item(key)
        except DaemonError as error:  # too old, or of an earlier daemon
            return self.query(str(error))
        from swiftctl import run as starter  # noqa: PLC0415 - only here

        return "" if starter.start(item) else self.query(starter.nothing_to_run(item))

    def copy(self, key: str) -> str:
        """Put the item's name on the clipboard, and let rofi close."""
        from swiftctl import clipboard  # noqa: PLC0415 - costs subprocess

        clipboard.copy(self._item(key)["name"])
        return ""

    def page(self, rows: list[str] | None, told: list[str]) -> str:
        """All that rofi shows: rows, at least one (None: at the start, none), and what is told as its message."""
        head = HEAD_LIVE if self._options.live else HEAD
        if self._text and not self._options.live:  # rofi has emptied its entry
            head += f"\0prompt\x1f{_cut(self._text, PROMPT_MAX)}\n"
        message = "&#10;".join(_escaped(show.harmless(note)) for note in told if note)
        blank = f"{BLANK}\0nonselectable\x1ftrue{self._permanent}\n"
        shown = "" if rows is None else "".join(rows) or blank
        return f"{head}\0message\x1f{message}\n{shown}"

    def _row(self, name: str, key: str) -> str:
        text = _cut(show.harmless(name), NAME_MAX).strip() or BLANK
        return f"{text}\0info\x1f{show.harmless(key)} {self._text}{self._permanent}\n"

    @property
    def _permanent(self) -> str:
        """In live mode it is the plugins who decide what matches."""
        return "\x1fpermanent\x1ftrue" if self._options.live else ""

    def _item(self, key: str) -> Message:
        item: Message = self._ask({"op": "activate", "key": key})[1]["item"]
        return item

    def _ask(self, request: Message, patience: float = PATIENCE) -> tuple[str, Message]:
        connection: Connection = connect(self._options, time.monotonic() + patience)
        try:
            return connection.ask(request)
        finally:
            connection.close()


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
