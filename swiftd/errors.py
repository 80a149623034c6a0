"""What can go wrong, split by whose fault it is.

`RequestError` is the client's, `PluginFault` a plugin's; each carries the code that goes on the wire, and
server.py and query.py are the only places that turn them into messages. `DaemonError` is for what stops swiftd
itself: its message is the last line the user sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swiftd.text import brief, one_line

if TYPE_CHECKING:
    from swiftd.protocol import ErrorCode, PluginErrorCode


class SwiftError(Exception):
    """The root of this program's own exceptions.

    A message often quotes what others chose, and may come from a process that a plugin took over. So here it becomes
    one line of harmless characters, whoever shows it later; of a client's or a plugin's not a long one either.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class RequestError(SwiftError):
    """A request that can't be served, through the client's fault."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(brief(message))
        self.code: ErrorCode = code


class PluginFault(SwiftError):  # noqa: N818 - it is the plugin that is at fault, and the word for it
    """A plugin did not do what it should: for the query it is one entry in `errors`."""

    def __init__(self, code: PluginErrorCode, message: str, *, seconds: float = 0.0, is_loss: bool = False) -> None:
        super().__init__(brief(message))
        self.code: PluginErrorCode = code
        self.seconds = seconds
        """How long the guest ran before it failed."""
        self.is_loss = is_loss
        """Whether the sandbox process was lost with it."""


class PutOffFault(PluginFault):
    """It was not asked, as it failed too often: asked again later, it may answer."""


class RemadeFault(PluginFault):
    """Its compiled form was lost: it is compiled anew, and may answer then."""


class DaemonError(SwiftError):
    """Swiftd can't start, or can't go on."""


class AlreadyRunningError(DaemonError):
    """Another daemon serves this socket."""
