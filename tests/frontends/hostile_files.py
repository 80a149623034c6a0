"""Names that files may have, and that do harm wherever one of them is taken for more than a name."""

from __future__ import annotations

SHOWN = {
    "'; touch pwned #": "'; touch pwned #",
    '"; touch pwned; "': '"; touch pwned; "',
    "\\'; touch pwned; \\'": "\\'; touch pwned; \\'",
    "'" * 200: "'" * 200,
    "$(touch pwned)": "$(touch pwned)",
    "${HOME} $HOME $'\\n'": "${HOME} $HOME $'\\n'",
    "`touch pwned`": "`touch pwned`",
    "a; touch pwned & touch pwned && touch pwned || :": "a; touch pwned & touch pwned && touch pwned || :",
    "a | touch pwned": "a | touch pwned",
    "a >pwned <pwned": "a >pwned <pwned",
    "* ?[a-z]* {pwned,a}": "* ?[a-z]* {pwned,a}",
    "{} {1} {q}": "{} {1} {q}",
    "# !! !touch": "# !! !touch",
    "~": "~",
    "back\\slash\\": "back\\slash\\",
    "a\\nb %s %n": "a\\nb %s %n",
    "-x": "-x",
    "--help": "--help",
    "  spaces  around  ": "spaces  around",
    "a\ttab": "a tab",
    "two\nlines": "two lines",
    "two lines": "two lines",
    "\n; touch pwned\n": "; touch pwned",
    "<b>bold <span size='99999'>": "<b>bold <span size='99999'>",
    "a &amp; b &#10; c &": "a &amp; b &#10; c &",
    "\x1b]0;title\x07\x1b[31mred": "\ufffd]0;title\ufffd\ufffd[31mred",
    "a\x1finfo\x1fb": "a\ufffdinfo\ufffdb",
    "é😀 名前": "é😀 名前",
    "a\u202egnp.exe": "a\ufffdgnp.exe",
    "é" * 100: "é" * 100,
}
"""What is shown of each: one line, control characters visible."""

NAMES = sorted(SHOWN)
"""As the plugin lists them. By code points and by bytes is the same order."""
