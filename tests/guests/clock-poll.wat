;; Polls two waits of an hour at once. Without the grant both must be ready, so the list of ready ones has two.
(component
  (import "wasi:io/poll@0.2.3" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.3" (instance $clock
    (alias outer 1 $pollable (type $p)) (export "pollable" (type $pollable (eq $p)))
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (core module $libc  ;; memory, and a realloc that only ever moves on
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $free)
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8)))))
  (core instance $libc (instantiate $libc))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $poll
    (canon lower (func $poll "poll") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "host" "poll" (func $poll (param i32 i32 i32)))
    (data (i32.const 0) (i32 64 11  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "clock-poll:")
    (data (i32.const 128) "readyother")
    (func $answer (param $text i32) (param $length i32) (result i32)
      (i32.store (i32.const 16) (local.get $text))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 8))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (i32.store (i32.const 160) (call $subscribe (i64.const 3_600_000_000_000)))
      (i32.store (i32.const 164) (call $subscribe (i64.const 3_600_000_000_000)))
      (call $poll (i32.const 160) (i32.const 2) (i32.const 168))  ;; a pointer at 168, the length at 172
      (if (i32.eq (i32.load (i32.const 172)) (i32.const 2)) (then (return (call $answer (i32.const 128) (i32.const 5)))))
      (call $answer (i32.const 133) (i32.const 5))))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance (export "subscribe" (func $subscribe)) (export "poll" (func $poll))))))
  (type $row (record (field "name" string) (field "exec" string) (field "keywords" string)))
  (export $item "action-item" (type $row))
  (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $libc "memory"))))
  (func $handle (param "input" string) (result (list $item))
    (canon lift (core func $i "handle") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $runner
    (export "action-item" (type $item)) (export "get-trigger" (func $trigger)) (export "handle" (func $handle)))
  (export "swift:launcher/runner" (instance $runner)))
