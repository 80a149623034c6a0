;; Reads the clock till an hour has passed. Whether the clock stands still or not, it must be killed at its
;; deadline.
(component
  (import "wasi:clocks/monotonic-clock@0.2.3" (instance $clock (export "now" (func (result u64)))))
  (core module $libc  ;; memory, and a realloc that only ever moves on
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $free)
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8)))))
  (core instance $libc (instantiate $libc))
  (core func $now (canon lower (func $clock "now")))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "now" (func $now (result i64)))
    (data (i32.const 0) (i32 64 11  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "clock-busy:")
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (local $until i64)
      (local.set $until (i64.add (call $now) (i64.const 3_600_000_000_000)))
      (loop $again (br_if $again (i64.lt_u (call $now) (local.get $until))))
      (i32.const 8)))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance (export "now" (func $now))))))
  (type $row (record (field "name" string) (field "exec" string) (field "keywords" string)))
  (export $item "action-item" (type $row))
  (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $libc "memory"))))
  (func $handle (param "input" string) (result (list $item))
    (canon lift (core func $i "handle") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $runner
    (export "action-item" (type $item)) (export "get-trigger" (func $trigger)) (export "handle" (func $handle)))
  (export "swift:launcher/runner" (instance $runner)))
