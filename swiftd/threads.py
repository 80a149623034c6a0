"""Work in threads, on a machine that may have none to give.

Who has as many processes as he may have gets no thread either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def in_thread(work: Callable[..., T], *arguments: object) -> T:
    """Do what blocks in a thread; here, where there is none: a moment's wait for all is better than no result.

    A cancellation does not wait for it.
    """
    try:
        return await trio.to_thread.run_sync(work, *arguments, abandon_on_cancel=True)
    except RuntimeError as error:
        if not is_shortage(error):
            raise
        await trio.lowlevel.checkpoint()
        return work(*arguments)


def is_shortage(error: RuntimeError) -> bool:
    """Whether it says that no thread could be started."""
    return "can't start new thread" in str(error)
