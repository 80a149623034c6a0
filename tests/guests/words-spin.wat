;; Logs what it is given, writes it to stderr, and spins: when it is killed at its deadline, both must be in its log.
(component
  (import "swift:launcher/host" (instance $host (export "log" (func (param "level" string) (param "message" string)))))
  (import "wasi:io/error@0.2.3" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/streams@0.2.3" (instance $streams
    (export "output-stream" (type $stream (sub resource)))
    (alias outer 1 $error (type $e)) (export "error" (type $error (eq $e)))
    (type $failure (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $failure)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $stream))
  (import "wasi:cli/stderr@0.2.3" (instance $stderr
    (alias outer 1 $stream (type $s)) (export "output-stream" (type $stream (eq $s)))
    (export "get-stderr" (func (result (own $stream))))))
  (core module $libc  ;; memory, and a realloc that only ever moves on
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $free)
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8)))))
  (core instance $libc (instantiate $libc))
  (core func $get (canon lower (func $stderr "get-stderr")))
  (core func $write
    (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
      (memory (core memory $libc "memory"))))
  (core func $log (canon lower (func $host "log") (memory (core memory $libc "memory"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "get" (func $get (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "log" (func $log (param i32 i32 i32 i32)))
    (data (i32.const 0) (i32 64 11  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "words-spin:")
    (data (i32.const 128) "error")
    (func $answer (param $text i32) (param $length i32) (result i32)
      (i32.store (i32.const 16) (local.get $text))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 8))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param $input i32) (param $length i32) (result i32)
      (call $log (i32.const 128) (i32.const 5) (local.get $input) (local.get $length))
      (call $write (call $get) (local.get $input) (local.get $length) (i32.const 48))
      (loop $for-ever (br $for-ever))
      (unreachable)))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance (export "get" (func $get)) (export "write" (func $write)) (export "log" (func $log))))))
  (type $row (record (field "name" string) (field "exec" string) (field "keywords" string)))
  (export $item "action-item" (type $row))
  (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $libc "memory"))))
  (func $handle (param "input" string) (result (list $item))
    (canon lift (core func $i "handle") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $runner
    (export "action-item" (type $item)) (export "get-trigger" (func $trigger)) (export "handle" (func $handle)))
  (export "swift:launcher/runner" (instance $runner)))
