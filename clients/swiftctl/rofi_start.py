"""`swiftctl rofi` by hand: starts rofi with this program as its mode.

`--live` lets rofi call the mode at every key. rofi can do that from 1.7.6 on, by a setting that would be dangerous in
a user's own configuration: in `run` mode a single key would run the text. So it is given on rofi's command line.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess

from swiftctl import SwiftctlError, own, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl import Options

LIVE_SINCE = (1, 7, 6)
LIVE_THEME = 'configuration { inputchange { action: "kb-accept-custom"; } }'


def run(options: Options) -> int:
    """Start rofi, and return its exit status.

    Raises:
        SwiftctlError: there is no rofi.

    """
    if not shutil.which("rofi"):
        raise SwiftctlError("rofi is not installed: install it, or try `swiftctl menu` or `swiftctl fzf`")
    live = options.live
    if live and (found := version()) < LIVE_SINCE:
        show.complain(
            f"this rofi is {'.'.join(map(str, found))}; results that follow each key need "
            f"{'.'.join(map(str, LIVE_SINCE))}: press Enter to ask"
        )
        live = False
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROFI_")}
    words = ["rofi", "-modi", f"swift:{mode(options, environment, live=live)}", "-show", "swift"]
    words += ["-matching-negate-char", "\\x0"]  # or `-x` would be every row without an x
    if live:
        words += ["-theme-str", LIVE_THEME]
    try:
        os.execvpe("rofi", words, environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise SwiftctlError(f"rofi can't be started: {error.strerror}") from None


def version() -> tuple[int, ...]:
    """What rofi says of its version; (0,) if it can't be understood."""
    try:
        said = subprocess.run(["rofi", "-version"], capture_output=True, check=False, timeout=5).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    found = re.search(rb"(\d+)\.(\d+)(?:\.(\d+))?", said)
    return tuple(int(part or 0) for part in found.groups()) if found else (0,)


def mode(options: Options, environment: dict[str, str], *, live: bool) -> str:
    """The command of the mode, for rofi's list of modes. A comma would end it, so that goes by PATH instead."""
    words = own.words()
    if "," in words[0]:
        environment["PATH"] = os.pathsep.join([os.path.dirname(words[0]), environment.get("PATH", os.defpath)])  # noqa: PTH120
        words[0] = os.path.basename(words[0])  # noqa: PTH119
    if options.socket:
        environment["SWIFT_SOCKET"] = os.path.abspath(options.socket)  # noqa: PTH100
    words += ["rofi", *(["--live"] if live else []), *([] if options.start else ["--no-start"])]
    return shlex.join(words)
