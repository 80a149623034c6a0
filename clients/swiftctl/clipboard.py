"""`swiftctl copy`: text to the clipboard, by the desktop's own tool.

The tools stay behind in the background to hand the text out, so they get a session of their own and no descriptor of
ours: whoever reads our output to its end (rofi does) would wait for them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

from swiftctl import STATUS_ANSWER, SwiftctlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options

WAYLAND = (("wl-copy", "--type", "text/plain"),)
X11 = (("xclip", "-selection", "clipboard", "-in"), ("xsel", "--clipboard", "--input"))

PATIENCE = 5.0
"""Seconds until a tool has taken the text and gone to the background; it takes a few milliseconds."""


def run(options: Options) -> int:
    """Copy the text.

    Raises:
        SwiftctlError: there is no tool, or none worked.

    """
    copy(options.text)
    return STATUS_ANSWER


def copy(text: str) -> None:
    """Put the text on the clipboard: on Wayland by wl-copy, on X11 by xclip or xsel, each tried in this order."""
    wayland, x11 = os.environ.get("WAYLAND_DISPLAY"), os.environ.get("DISPLAY")
    if not wayland and not x11:
        raise SwiftctlError("no clipboard without a graphical session: neither WAYLAND_DISPLAY nor DISPLAY is set")
    tools = (WAYLAND if wayland else ()) + (X11 if x11 else ())
    installed = [tool for tool in tools if shutil.which(tool[0])]
    if not installed:
        names = " or ".join(tool[0] for tool in tools)
        raise SwiftctlError(f"no clipboard tool found: install {names}")
    failures = []
    for tool in installed:
        failure = _hand_over(tool, text.encode())
        if failure is None:
            return
        failures.append(f"{tool[0]}: {failure}")
    raise SwiftctlError(f"the text could not be copied: {'; '.join(failures)}")


def _hand_over(tool: tuple[str, ...], text: bytes) -> str | None:
    """Run one tool; what went wrong, or None."""
    with tempfile.TemporaryFile() as said:  # not a pipe: the process left behind would hold it open
        try:
            done = subprocess.run(
                tool,
                input=text,
                stdout=subprocess.DEVNULL,
                stderr=said,
                timeout=PATIENCE,
                check=False,
                cwd="/",
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            return f"still busy after {PATIENCE:.0f} s"
        except OSError as error:
            return error.strerror or str(error)
        if done.returncode == 0:
            return None
        said.seek(0)
        lines = said.read(4096).decode(errors="replace").split("\n")
        return lines[0].strip() or f"exit status {done.returncode}"
