"""A loaded plugin's first call: it says its trigger.

It is asked also where config.toml gives it another one. What a plugin is handed starts with its own, the only one it
knows, so that has to be known to be put in the place of what was typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swiftd.errors import PluginFault
from swiftd.sandbox.messages import Limits, Trigger
from swiftd.triggers import problem_of

if TYPE_CHECKING:
    from swiftd.pool import Pool
    from swiftd.sandbox.messages import Load

TRIGGER_TRIES = 5
"""How often a plugin is asked while all workers are busy. That is no fault of its own."""


@dataclass(frozen=True)
class Introduction:
    """What a plugin goes by."""

    trigger: str
    own_trigger: str | None
    """None: it doesn't say, but config.toml gives it one."""
    problem: str | None = None
    """What the user should know of it."""


async def introduce(pool: Pool, load: Load, configured: str | None) -> Introduction:
    """What a plugin goes by, to which config.toml gives the trigger `configured`.

    Raises:
        PluginFault: it has none but its own, and did not say that, or what it said can't be typed.
        ArtefactError: the cache's file is not what it was.

    """
    try:
        own = await _ask(pool, load)
    except PluginFault as fault:
        if configured is None:
            raise
        problem = f"it is handed what is typed as it is, as it does not say its own trigger: get-trigger: {fault}"
        return Introduction(configured, None, problem)
    if (configured is None or len(own) > Limits().trigger) and (wrong := problem_of(own)) is not None:
        raise PluginFault("contract", wrong)
    return Introduction(own if configured is None else configured, own)


async def _ask(pool: Pool, load: Load) -> str:
    for attempt in range(1, TRIGGER_TRIES + 1):
        try:
            return (await pool.call(load, Trigger(load.slot))).trigger
        except PluginFault as fault:
            if fault.code != "busy" or attempt == TRIGGER_TRIES:
                raise
    raise AssertionError("the last attempt returns or raises")
