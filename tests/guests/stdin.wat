;; Reads from stdin, which must be at its end: the item says `closed`. It must not wait, nor read the daemon's.
(component
  (import "wasi:io/error@0.2.3" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/streams@0.2.3" (instance $streams
    (export "input-stream" (type $stream (sub resource)))
    (alias outer 1 $error (type $e)) (export "error" (type $error (eq $e)))
    (type $failure (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $failure)))
    (export "[method]input-stream.blocking-read"
      (func (param "self" (borrow $stream)) (param "len" u64) (result (result (list u8) (error $stream-error)))))))
  (alias export $streams "input-stream" (type $stream))
  (import "wasi:cli/stdin@0.2.3" (instance $stdin
    (alias outer 1 $stream (type $s)) (export "input-stream" (type $stream (eq $s)))
    (export "get-stdin" (func (result (own $stream))))))
  (core module $libc  ;; memory, and a realloc that only ever moves on
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $free)
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8)))))
  (core instance $libc (instantiate $libc))
  (core func $get (canon lower (func $stdin "get-stdin")))
  (core func $read
    (canon lower (func $streams "[method]input-stream.blocking-read") (memory (core memory $libc "memory"))
      (realloc (core func $libc "realloc"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "get" (func $get (result i32)))
    (import "host" "read" (func $read (param i32 i64 i32)))
    (data (i32.const 0) (i32 64 6  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "stdin:")
    (data (i32.const 128) "closed")
    (func $answer (param $text i32) (param $length i32) (result i32)
      (i32.store (i32.const 16) (local.get $text))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 8))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (call $read (call $get) (i64.const 100) (i32.const 48))
      (if (i32.load8_u (i32.const 48)) (then (return (call $answer (i32.const 128) (i32.const 6)))))
      (call $answer (i32.load (i32.const 52)) (i32.load (i32.const 56)))))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance (export "get" (func $get)) (export "read" (func $read))))))
  (type $row (record (field "name" string) (field "exec" string) (field "keywords" string)))
  (export $item "action-item" (type $row))
  (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $libc "memory"))))
  (func $handle (param "input" string) (result (list $item))
    (canon lift (core func $i "handle") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $runner
    (export "action-item" (type $item)) (export "get-trigger" (func $trigger)) (export "handle" (func $handle)))
  (export "swift:launcher/runner" (instance $runner)))
