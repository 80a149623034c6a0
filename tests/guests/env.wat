;; Answers with its environment: the names, each with a comma after it. Only the harmless ones must be there.
(component
  (import "wasi:cli/environment@0.2.3" (instance $env
    (export "get-environment" (func (result (list (tuple string string)))))))
  (core module $libc  ;; memory, and a realloc that only ever moves on
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $free)
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8)))))
  (core instance $libc (instantiate $libc))
  (core func $env
    (canon lower (func $env "get-environment") (memory (core memory $libc "memory"))
      (realloc (core func $libc "realloc"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "env" (func $env (param i32)))
    (data (i32.const 0) (i32 64 4  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "env:")
    (func $answer (param $text i32) (param $length i32) (result i32)
      (i32.store (i32.const 16) (local.get $text))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 8))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (local $at i32) (local $end i32) (local $to i32)
      (call $env (i32.const 48))
      (local.set $at (i32.load (i32.const 48)))
      (local.set $end (i32.add (local.get $at) (i32.mul (i32.load (i32.const 52)) (i32.const 16))))
      (local.set $to (i32.const 65536))
      (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (memory.copy (local.get $to) (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
        (local.set $to (i32.add (local.get $to) (i32.load offset=4 (local.get $at))))
        (i32.store8 (local.get $to) (i32.const 0x2c))
        (local.set $to (i32.add (local.get $to) (i32.const 1)))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next)))
      (call $answer (i32.const 65536) (i32.sub (local.get $to) (i32.const 65536)))))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance (export "env" (func $env))))))
  (type $row (record (field "name" string) (field "exec" string) (field "keywords" string)))
  (export $item "action-item" (type $row))
  (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $libc "memory"))))
  (func $handle (param "input" string) (result (list $item))
    (canon lift (core func $i "handle") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $runner
    (export "action-item" (type $item)) (export "get-trigger" (func $trigger)) (export "handle" (func $handle)))
  (export "swift:launcher/runner" (instance $runner)))
