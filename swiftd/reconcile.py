"""Brings the catalog to what is on disk: the plugin folders, the configuration, and what was switched off.

It never acts on the news of one change, always on what is there when it looks: a missed, merged or reordered event
does no harm, and every occasion (the start, a change on disk, SIGHUP, `reload`) runs the same pass. A pass does at
once what needs no compiling, and puts all of that in service in one step. What must be compiled becomes a job, one a
plugin, smallest first; the version before serves until the new one is loaded in every worker. A new state of the
file ends the job for the old one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
import trio

from swiftd.catalog import Catalog, Plugin, Version
from swiftd.compiler import ChangedError, Compiler, Entry, TroubleError
from swiftd.config import PluginSettings
from swiftd.errors import DaemonError, PluginFault
from swiftd.grants import Grantor
from swiftd.introduction import introduce
from swiftd.jobs import CHANGING_PAUSE, Batch, Job, RefusedError, Target, Trials
from swiftd.sandbox.messages import Limits, Load
from swiftd.threads import in_thread
from swiftd.worker import ArtefactError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable
    from pathlib import Path

    from swiftd.config import Config
    from swiftd.folders import Folders, Found
    from swiftd.grants import Given
    from swiftd.pool import Pool
    from swiftd.switches import Switches

PARALLEL_COMPILES = 2
"""So that a plugin of a second need not wait for one of ten. Each may take gigabytes, so no more."""

BATCH_LIMIT = 0.5
"""Seconds that a pass waits for the triggers of what it loaded. A plugin that takes longer comes on its own."""


SWEEP_EVERY = 24 * 3600.0
"""Seconds between two sweeps of the cache."""

_log = logging.getLogger(__name__)


class Reconciler:
    """Runs passes when asked to, and the jobs they start."""

    def __init__(
        self,
        catalog: Catalog,
        folders: Folders,
        switches: Switches,
        compiler: Compiler,
        pool: Pool,
        protected: Iterable[Path],
        told: Callable[[Collection[str]], None] = lambda _: None,
        configured: Callable[[], Awaitable[Config]] | None = None,
    ) -> None:
        """`told` is called with the names of all plugins after each pass; `configured` says what is in force."""
        self._catalog = catalog
        self._folders = folders
        self._switches = switches
        self._compiler = compiler
        self._pool = pool
        self._grantor = Grantor(protected)
        self._told = told
        self._configured = configured
        self._config: Config | None = None
        self._slots = 0
        self._wanted = trio.Event()
        self._begun = 0  # passes, counted from 1
        self._done = 0
        self._asked = 0
        self._settled = trio.lowlevel.ParkingLot()  # a pass or a job is done
        self._targets: dict[str, Target] = {}
        self._jobs: dict[str, Job] = {}
        self._queue: list[Job] = []  # those that wait to be compiled
        self._next_sweep = 0.0
        self._trials = Trials()
        self._turn = trio.lowlevel.ParkingLot()
        self._compiling = 0
        self._nursery: trio.Nursery | None = None

    def use(self, config: Config) -> None:
        """From the next pass on, this configuration is in force."""
        self._config = config
        self.request()

    def request(self) -> None:
        """Ask for a pass. Asking again before it has begun changes nothing; one that has begun may have missed it."""
        self._asked = self._begun + 1
        self._wanted.set()

    async def mend(self, name: str, version: Version) -> None:
        """The artefact of a version in service is not what it was: compile it anew, unless that is under way.

        If the file is another by now, and that one was refused, there is nothing to make it from: it goes.
        """
        target = self._targets.get(name)
        plugin = self._catalog.plugins.get(name)
        if name in self._jobs or plugin is None or plugin.serving is not version:
            return
        if target is not None and target.source != version.source:
            reason = plugin.error
            await self._commit({name: None})
            self._refuse(plugin, reason or "its compiled form was lost, and its file is another now")
            return
        self._targets.pop(name, None)
        self._compiler.forget(version.source)
        self.request()

    async def reload(self, names: Iterable[str] | None = None) -> None:
        """Look at everything again, also at what was refused, and return when these plugins have settled.

        Without names those are all that the look finds, the new ones included.
        """
        catalog = self._catalog
        for name in set(catalog.plugins if names is None else names):
            plugin = catalog.plugins.get(name)
            if plugin is None:
                continue
            if plugin.error is not None:
                self._compiler.forget(plugin.source)
            if plugin.error is not None or plugin.problems or plugin.health.is_failing:
                self._targets.pop(name, None)
        await self.complete()
        chosen = set(catalog.plugins if names is None else names)
        while chosen & self._jobs.keys() or self._done < self._asked:
            await self._settled.park()

    async def catch_up(self) -> None:
        """Have the catalog be what is in the folders now. Returns at once where it is, as far as a glance can tell."""
        if self._done < self._asked or self._folders.have_changed():
            await self.complete()

    async def complete(self) -> None:
        """Ask for a pass and return when it is done; its jobs may still be running."""
        self.request()
        number = self._asked
        while self._done < number:
            await self._settled.park()

    async def run(self) -> None:
        """Run passes until cancelled."""
        async with trio.open_nursery() as self._nursery:
            while True:
                await self._wanted.wait()
                self._wanted = trio.Event()
                self._begun += 1
                await self._pass()
                self._done = self._begun
                self._settled.unpark_all()
                if trio.current_time() >= self._next_sweep:
                    self._next_sweep = trio.current_time() + SWEEP_EVERY
                    self._nursery.start_soon(self._sweep)

    async def _pass(self) -> None:
        catalog = self._catalog
        if self._configured is not None:
            self._config = await self._configured()
        assert self._config is not None  # noqa: S101 - `use` comes before `run`
        found = await in_thread(self._folders.scan)
        given = await in_thread(self._grantor.given, self._config, found)
        catalog.troubles = self._folders.problems
        batch = Batch()
        gone = [name for name in catalog.plugins if name not in found]
        for name in gone:
            self._abandon(name)
            batch.versions[name] = None
        cached = []
        for name, file in sorted(found.items()):
            plugin = catalog.plugins.setdefault(name, Plugin(name, file.path, file.bundled))
            plugin.path, plugin.bundled, plugin.size, plugin.source = file.path, file.bundled, file.size, file.source
            if known := self._consider(plugin, file, given[name], batch):
                cached.append(known)
        for job, entry in cached:
            await self._take_from_cache(job, entry, batch)
        with trio.move_on_after(BATCH_LIMIT):
            await batch.complete()
        await self._commit(batch.close())
        catalog.remove(gone)
        self._told(catalog.plugins.keys())
        catalog.scanned.set()

    def _consider(self, plugin: Plugin, file: Found, given: Given, batch: Batch) -> tuple[Job, Entry] | None:
        """Do what one file asks for, if it is not done or under way already; what is in the cache is to be loaded.

        Nothing here waits: what must be compiled is in the queue, all of it, before the first is taken from there.
        """
        assert self._config is not None  # noqa: S101 - `use` comes before `run`
        assert self._nursery is not None  # noqa: S101 - passes run inside it
        settings = self._config.plugin(plugin.name)
        if not settings.enabled or self._switches.is_off(plugin.name):
            self._abandon(plugin.name)
            if plugin.serving is not None:
                batch.versions[plugin.name] = None
            self._catalog.set_state(plugin, "disabled")
            return None
        target = Target(file.source, settings, self._config.settings, file.problem, tuple(given[1]), given[0])
        if self._targets.get(plugin.name) == target:
            return None
        self._abandon(plugin.name)
        self._targets[plugin.name] = target
        if file.problem is not None:
            self._refuse(plugin, file.problem)
            return None
        job = self._jobs[plugin.name] = Job(plugin, target)
        if (entry := self._compiler.cached(file.source)) is not None:
            return job, entry
        if plugin.serving is None:
            self._catalog.set_state(plugin, "found")
        self._queue.append(job)
        self._nursery.start_soon(self._run, job, self._make)
        return None

    async def _take_from_cache(self, job: Job, entry: Entry, batch: Batch) -> None:
        """Load what needs no compiling. It is put in service with the pass, once it has said its trigger."""
        assert self._nursery is not None  # noqa: S101 - passes run inside it
        try:
            load = await self._load(job, entry)
        except RefusedError as error:
            self._refuse(job.plugin, str(error))
            self._end(job)
        except ArtefactError:
            self._compiler.forget(job.target.source)
            self._queue.append(job)
            self._nursery.start_soon(self._run, job, self._make)
        else:
            batch.expect()
            self._nursery.start_soon(self._run, job, self._finish_from_cache, entry, load, batch)

    def _abandon(self, name: str) -> None:
        """What the plugin was to become it shall not any more."""
        self._targets.pop(name, None)
        if (job := self._jobs.get(name)) is not None:
            job.scope.cancel()
            self._end(job)

    def _end(self, job: Job) -> None:
        """A job is done, or not wanted any more."""
        if self._jobs.get(job.plugin.name) is job:
            del self._jobs[job.plugin.name]
        self._settled.unpark_all()

    def _is_wanted(self, job: Job) -> bool:
        """Whether the plugin is still to become what the job makes of it."""
        return self._targets.get(job.plugin.name) is job.target

    def _refuse(self, plugin: Plugin, reason: str) -> None:
        """The file's content can't serve; what served before goes on."""
        self._catalog.set_state(plugin, "ready" if plugin.serving else "refused", reason)

    async def _sweep(self) -> None:
        """Rid the cache of what no plugin has needed for long: none that is there, switched off or not, or serves."""
        plugins = self._catalog.plugins.values()
        sources = {plugin.source for plugin in plugins}
        sources |= {plugin.serving.source for plugin in plugins if plugin.serving is not None}
        await in_thread(self._compiler.sweep, sources)

    # ---- one plugin's job ---------------------------------------------------------------------------------------

    async def _run(self, job: Job, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Do the work for one plugin, until it is done or not wanted any more."""
        assert self._nursery is not None  # noqa: S101 - jobs run inside it
        reason: str | None = None
        with job.scope:
            try:
                await work(job, *arguments)
            except ChangedError:
                await trio.sleep(CHANGING_PAUSE)
                self._look_again(job)
            except ArtefactError as error:
                reason = f"its compiled form was lost ({error}): is the cache folder's disk full or failing?"
            except TroubleError as error:
                reason = str(error)
                if error.again:
                    self._nursery.start_soon(self._trials.again, job, self._look_again)
            except (RefusedError, DaemonError) as error:
                reason = str(error)
        if reason is not None and self._is_wanted(job):
            self._refuse(job.plugin, reason)
        self._end(job)

    def _look_again(self, job: Job) -> None:
        """Have a new job for what this one could not do."""
        if self._is_wanted(job):
            self._targets.pop(job.plugin.name)
            self.request()

    async def _make(self, job: Job) -> None:
        """Compile, load and put in service."""
        plugin = job.plugin
        try:
            while self._compiling >= PARALLEL_COMPILES or min(self._queue, key=lambda j: j.plugin.size) is not job:
                await self._turn.park()
        finally:
            self._queue.remove(job)
            self._turn.unpark_all()
        self._compiling += 1
        try:
            if plugin.serving is None:
                self._catalog.set_state(plugin, "compiling")
            job.started = trio.current_time()
            entry = await self._compiler.compile(plugin.path, job.target.source)
        finally:
            self._compiling -= 1
            self._turn.unpark_all()
        plugin.times.compile_ms = self._trials.succeeded(job)
        await self._finish(job, entry, await self._load(job, entry), None)

    async def _load(self, job: Job, entry: Entry) -> Load:
        """Load a finished artefact into every worker. No code of the plugin's runs.

        Raises:
            RefusedError: the content was refused when it was compiled.
            ArtefactError: the cache's file is not what it was.

        """
        if entry.refused is not None or entry.contract is None:
            raise RefusedError(entry.refused or "it has no contract")
        plugin, target = job.plugin, job.target
        load = self.load_for(plugin.name, target, entry)
        plugin.problems = list(target.doubts)
        for problem in plugin.problems:
            _log.warning("%s: %s", plugin.name, problem)
        started = trio.current_time()
        await self._pool.add(load)
        plugin.times.load_ms = round((trio.current_time() - started) * 1000, 1)
        return load

    async def _finish_from_cache(self, job: Job, entry: Entry, load: Load, batch: Batch) -> None:
        """The same for what was in the cache. It may turn out only now that it isn't what it was."""
        try:
            await self._finish(job, entry, load, batch)
        except ArtefactError:
            self._compiler.forget(job.target.source)
            self._queue.append(job)
            await self._make(job)

    async def _finish(self, job: Job, entry: Entry, load: Load, batch: Batch | None) -> None:
        """Ask a loaded version for its trigger, and put it in service: with the others of its pass, if it is quick."""
        target = job.target
        finished = False
        try:
            said = await introduce(self._pool, load, target.settings.trigger)
            if not self._is_wanted(job):  # a pass that began meanwhile can't always stop us in time
                return
            if said.problem is not None:
                job.plugin.problems.append(said.problem)
                _log.warning("%s: %s", job.plugin.name, said.problem)
            version = Version(target.source, target.settings, load, said.trigger, said.own_trigger, entry)
            finished = True
            if batch is None or not batch.offer(job.plugin.name, version):
                await self._commit({job.plugin.name: version})
        except PluginFault as fault:
            raise RefusedError(f"get-trigger: {fault}") from fault
        finally:
            if batch is not None:
                batch.done()
            if not finished:
                self._pool.disown(load.slot)

    async def trial(self, source: str, plugin: str | None) -> Target:
        """What a file that is only tried should be: a plugin of that name, or one for which nothing is configured."""
        if plugin is None or (config := self._config) is None:
            return Target(source, PluginSettings(), {}, None)
        grants, doubts = (await in_thread(self._grantor.given, config, {plugin: None}))[plugin]
        return Target(source, config.plugin(plugin), config.settings, None, tuple(doubts), grants)

    def load_for(self, name: str, target: Target, entry: Entry) -> Load:
        """What the workers are told of a version."""
        assert entry.contract is not None  # noqa: S101 - the entry is no refusal
        settings = target.settings
        self._slots += 1
        return Load(
            slot=self._slots,
            plugin=name,
            artefact=str(self._compiler.artefact(entry)),
            digest=entry.digest,
            contract=entry.contract,
            limits=Limits(memory=int(settings.memory), deadline=float(settings.deadline), max_items=settings.max_items),
            grants=target.grants,
            settings=msgspec.json.encode({**target.shared, **settings.settings}).decode(),
            private=bool(settings.settings or settings.grants.env),
        )

    async def _commit(self, serve: dict[str, Version | None]) -> None:
        """Put versions in service, all at once, and have the workers forget those they replace."""
        before = [self._catalog.plugins[name].serving for name in serve]
        self._catalog.serve(serve)
        for version in before:
            if version is not None:
                await self._pool.remove(version.load.slot)
