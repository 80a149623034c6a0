"""`swiftctl completion`: what a shell needs to complete our command line."""

from __future__ import annotations

from swiftctl import STATUS_ANSWER, SwiftctlError, cli, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options


def run(options: Options) -> int:
    """Print the shell's script, made by shtab from the command line's own definition.

    Raises:
        SwiftctlError: there is no shtab.

    """
    try:
        import shtab  # noqa: PLC0415 - only here, and only wanted by packagers
    except ImportError:
        raise SwiftctlError("completions are made by shtab: install it, such as by `pip install shtab`") from None
    show.write(shtab.complete(cli.build(), shell=options.tool or "").encode() + b"\n")
    return STATUS_ANSWER
