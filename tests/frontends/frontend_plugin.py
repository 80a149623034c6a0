"""A plugin with given answers, made without a compiler: a component's text is accepted where its bytes are."""

from __future__ import annotations

import struct

from daemons import GUESTS

SLOW_STEPS = 600_000_000
"""Turns of an empty loop: some 0.3 s."""


def plugin(trigger, rows):
    """A plugin that answers with these (name, exec) pairs, as text."""
    place, data, numbers = 8192, [], []

    def put(text):
        nonlocal place
        raw = text.encode()
        data.append((place, raw))
        numbers.extend((place, len(raw)))
        place += len(raw)

    for name, command in rows:
        put(name)
        put(command)
        numbers.extend((0, 0))
    listed = (place + 3) // 4 * 4
    data += [(1024, trigger.encode()), (listed, struct.pack(f"<{len(numbers)}i", *numbers))]
    text = (GUESTS / "ok.wat").read_text().replace('(memory (export "memory") 1)', '(memory (export "memory") 4)')
    text = text.replace("(i32 64 3  16 1)", f"(i32 1024 {len(trigger.encode())}  {listed} {len(rows)})")
    segments = "".join(f'(data (i32.const {at}) "{_escaped(raw)}")' for at, raw in data)
    return text.replace('(data (i32.const 64) "ok:")', segments)


def _escaped(raw):
    return "".join(f"\\{byte:02x}" for byte in raw)


def telling(trigger, slow_end=""):
    """A plugin with one row for each text: its name is the text, and its command writes the text into `ran`.

    A text that ends with the character `slow_end` takes a good part of a second.
    """
    before, after = b"echo '", b"' >>$HOME/ran"
    text = (GUESTS / "ok.wat").read_text().replace('(memory (export "memory") 1)', '(memory (export "memory") 4)')
    text = text.replace("(i32 64 3  16 1)", f"(i32 64 {len(trigger.encode())}  16 1)")
    text = text.replace('"ok:"', f'"{_escaped(trigger.encode())}"')
    # The input lies at 4096, so that what comes before and after it is put around it where it is.
    text = text.replace(
        '(data (i32.const 128) "finetrueodd")',
        f'(data (i32.const {4096 - len(before)}) "{_escaped(before)}") (data (i32.const 256) "{_escaped(after)}")',
    )
    body = f"""
      (local $left i32)
      (memory.copy (i32.add (local.get 0) (local.get 1)) (i32.const 256) (i32.const {len(after)}))
      (i32.store (i32.const 16) (local.get 0))
      (i32.store (i32.const 20) (local.get 1))
      (i32.store (i32.const 24) (i32.sub (local.get 0) (i32.const {len(before)})))
      (i32.store (i32.const 28) (i32.add (local.get 1) (i32.const {len(before) + len(after)})))
      (if (i32.eq (i32.load8_u (i32.add (local.get 0) (i32.sub (local.get 1) (i32.const 1))))
                  (i32.const {ord(slow_end or " ")}))
        (then
          (local.set $left (i32.const {SLOW_STEPS if slow_end else 1}))
          (loop $on (br_if $on (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))
      (i32.const 8)"""
    handle = '(func (export "handle") (param i32 i32) (result i32)'
    return text.replace(f"{handle} (i32.const 8))", f"{handle}{body})")
