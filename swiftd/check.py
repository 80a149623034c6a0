"""Tries a file as if it were installed: compiled, loaded, asked for its trigger, and for an answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import trio

from swiftd.compiler import ChangedError, Compiler, TroubleError
from swiftd.config import PluginSettings
from swiftd.errors import PluginFault, RequestError
from swiftd.folders import SUFFIX, look
from swiftd.introduction import introduce
from swiftd.protocol import CheckAnswer, Item, PluginTimes
from swiftd.sandbox.messages import Handle
from swiftd.threads import in_thread
from swiftd.triggers import after
from swiftd.worker import ArtefactError

if TYPE_CHECKING:
    from swiftd.config import ConfigFile
    from swiftd.journal import Journal
    from swiftd.pool import Pool
    from swiftd.protocol import Check
    from swiftd.reconcile import Reconciler
    from swiftd.sandbox.messages import Load


class Checker:
    """Tries files. Nothing of it stays in the workers, and nothing shows in the catalog."""

    def __init__(
        self, config: ConfigFile, compiler: Compiler, pool: Pool, reconciler: Reconciler, journal: Journal
    ) -> None:
        self._config = config
        self._compiler = compiler
        self._pool = pool
        self._reconciler = reconciler
        self._journal = journal

    async def check(self, request: Check) -> CheckAnswer:
        """Try one file: as the plugin that the request names, with that one's grants and settings, or with none.

        A file from elsewhere may have the name of one that is trusted.

        Raises:
            RequestError: there is no such file to try, or no such plugin.

        """
        config = self._config.current
        if request.plugin is not None and config.plugin(request.plugin) == PluginSettings() and not config.settings:
            raise RequestError("unknown-plugin", f"config.toml says nothing of a plugin {request.plugin!r}")
        path = Path(request.path)
        if not path.is_absolute() or "\0" in request.path:
            raise RequestError("bad-request", f"path: expected one from the root, found {request.path!r}")
        found = await in_thread(look, path)
        answer = CheckAnswer(id=request.id, accepted=False, error=found.problem, size=found.size)
        if found.problem is not None:
            return answer
        started = trio.current_time()
        try:
            entry = await self._compiler.compile(path, found.source)
        except (ChangedError, TroubleError) as error:
            raise RequestError("refused", f"{path} can't be compiled: {error}") from error
        answer.times = PluginTimes(compile_ms=_since(started))
        answer.error, answer.language, answer.imports = entry.refused, entry.language, entry.imports
        if entry.refused is not None or entry.contract is None:
            return answer
        answer.contract = str(entry.contract)
        target = await self._reconciler.trial(found.source, request.plugin)
        name = request.plugin or path.name.removesuffix(SUFFIX)
        # Under a name of its own, to leave the log and the denials of an installed one alone.
        load = self._reconciler.load_for(f"check of {name}", target, entry)
        answer.plugin, answer.problems = request.plugin, list(target.doubts)
        answer.grants = {key: value for key, value in msgspec.to_builtins(target.settings.grants).items() if value}
        answer.settings = sorted({*target.shared, *target.settings.settings})
        try:
            await self._try(load, target.settings.trigger, request, answer)
        except (PluginFault, ArtefactError) as error:
            answer.error = str(error)
        finally:
            answer.denied = self._journal.denials(load.plugin, name)
            answer.log = self._journal.lines(load.plugin)
            self._journal.forget(load.plugin)
            await self._pool.remove(load.slot)
        return answer

    async def _try(self, load: Load, configured: str | None, request: Check, answer: CheckAnswer) -> None:
        started = trio.current_time()
        said = await introduce(self._pool, load, configured)
        answer.trigger, answer.error = said.trigger, said.problem
        answer.times.load_ms = _since(started)
        answer.accepted = True
        if request.input is not None:
            rest = after(request.input, said.trigger)
            text = request.input if rest is None or said.own_trigger is None else said.own_trigger + rest
            handled = await self._pool.call(load, Handle(load.slot, text))
            answer.items = [Item("", "", *row) for row in handled.items]
            answer.error = handled.cut or answer.error


def _since(started: float) -> float:
    return round((trio.current_time() - started) * 1000, 1)
