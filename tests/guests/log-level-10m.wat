;; Logs with a level of 10 MiB. It must be served, and not all of it be repeated.
(component
  (import "swift:launcher/host" (instance $host (export "log" (func (param "level" string) (param "message" string)))))
  (core module $libc  ;; memory, and a realloc that only ever moves on
    (memory (export "memory") 162)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $free)
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8)))))
  (core instance $libc (instantiate $libc))
  (core func $log (canon lower (func $host "log") (memory (core memory $libc "memory"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "log" (func $log (param i32 i32 i32 i32)))
    (data (i32.const 0) (i32 64 14  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "log-level-10m:")
    (data (i32.const 128) "info")
    (data (i32.const 136) "logged")
    (func $answer (param $text i32) (param $length i32) (result i32)
      (i32.store (i32.const 16) (local.get $text))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 8))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (memory.fill (i32.const 65536) (i32.const 0x78) (i32.const 10485760))
      (call $log (i32.const 65536) (i32.const 10485760) (i32.const 136) (i32.const 6))
      (call $answer (i32.const 136) (i32.const 6))))
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
