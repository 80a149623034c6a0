;; Asks for its folders and prints, as WASI's adapter does when a plugin prints for the first time. No denial must be
;; noted.
(component
  (import "wasi:filesystem/types@0.2.3" (instance $types (export "descriptor" (type (sub resource)))))
  (alias export $types "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.3" (instance $preopens
    (alias outer 1 $descriptor (type $d)) (export "descriptor" (type $descriptor (eq $d)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
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
  (core func $folders
    (canon lower (func $preopens "get-directories") (memory (core memory $libc "memory"))
      (realloc (core func $libc "realloc"))))
  (core func $get (canon lower (func $stderr "get-stderr")))
  (core func $write
    (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
      (memory (core memory $libc "memory"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "folders" (func $folders (param i32)))
    (import "host" "get" (func $get (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (data (i32.const 0) (i32 64 12  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "files-print:")
    (data (i32.const 128) "printed")
    (func $answer (param $text i32) (param $length i32) (result i32)
      (i32.store (i32.const 16) (local.get $text))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 8))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (call $folders (i32.const 160))
      (call $write (call $get) (i32.const 128) (i32.const 7) (i32.const 48))
      (call $answer (i32.const 128) (i32.const 7))))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance (export "folders" (func $folders)) (export "get" (func $get)) (export "write" (func $write))))))
  (type $row (record (field "name" string) (field "exec" string) (field "keywords" string)))
  (export $item "action-item" (type $row))
  (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $libc "memory"))))
  (func $handle (param "input" string) (result (list $item))
    (canon lift (core func $i "handle") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $runner
    (export "action-item" (type $item)) (export "get-trigger" (func $trigger)) (export "handle" (func $handle)))
  (export "swift:launcher/runner" (instance $runner)))
