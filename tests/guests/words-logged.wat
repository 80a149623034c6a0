;; Logs an error and traps, as a panic hook of Rust's does where there is no stderr: the error must come first in the
;; reason.
(component
  (import "swift:launcher/host" (instance $host (export "log" (func (param "level" string) (param "message" string)))))
  (core module $libc  ;; memory, and a realloc that only ever moves on
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $free)
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8)))))
  (core instance $libc (instantiate $libc))
  (core func $log (canon lower (func $host "log") (memory (core memory $libc "memory"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "log" (func $log (param i32 i32 i32 i32)))
    (data (i32.const 0) (i32 64 13  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "words-logged:")
    (data (i32.const 128) "error")
    (data (i32.const 136) "no such thing")
    (func $answer (param $text i32) (param $length i32) (result i32)
      (i32.store (i32.const 16) (local.get $text))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 8))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (call $log (i32.const 128) (i32.const 5) (i32.const 136) (i32.const 13))
      (unreachable)))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance (export "log" (func $log))))))
  (type $row (record (field "name" string) (field "exec" string) (field "keywords" string)))
  (export $item "action-item" (type $row))
  (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $libc "memory"))))
  (func $handle (param "input" string) (result (list $item))
    (canon lift (core func $i "handle") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $runner
    (export "action-item" (type $item)) (export "get-trigger" (func $trigger)) (export "handle" (func $handle)))
  (export "swift:launcher/runner" (instance $runner)))
