;; Opens and reads `fifo` in the folder it may read, to which nobody writes: the host's call blocks. It must be
;; killed at its deadline.
(component
  (import "wasi:filesystem/types@0.2.3" (instance $fs
    (export "descriptor" (type $descriptor (sub resource)))
    (type $codes (enum
      "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist" "file-too-large"
      "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop"
      "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
      "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty"
      "no-such-device" "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy"
      "cross-device"))
    (export "error-code" (type $error-code (eq $codes)))
    (type $pf (flags "symlink-follow")) (export "path-flags" (type $path-flags (eq $pf)))
    (type $of (flags "create" "directory" "exclusive" "truncate")) (export "open-flags" (type $open-flags (eq $of)))
    (type $df (flags
      "read" "write" "file-integrity-sync" "data-integrity-sync" "requested-write-sync" "mutate-directory"))
    (export "descriptor-flags" (type $descriptor-flags (eq $df)))
    (export "[method]descriptor.open-at" (func (param "self" (borrow $descriptor)) (param "path-flags" $path-flags)
      (param "path" string) (param "open-flags" $open-flags) (param "flags" $descriptor-flags)
      (result (result (own $descriptor) (error $error-code)))))

    (export "[method]descriptor.read" (func (param "self" (borrow $descriptor)) (param "length" u64) (param "offset" u64)
      (result (result (tuple (list u8) bool) (error $error-code)))))))
  (alias export $fs "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.3" (instance $preopens
    (alias outer 1 $descriptor (type $d)) (export "descriptor" (type $descriptor (eq $d)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
  (core module $libc  ;; memory, and a realloc that only ever moves on
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $free)
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8)))))
  (core instance $libc (instantiate $libc))
  (core func $directories
    (canon lower (func $preopens "get-directories") (memory (core memory $libc "memory"))
      (realloc (core func $libc "realloc"))))
  (core func $open (canon lower (func $fs "[method]descriptor.open-at") (memory (core memory $libc "memory"))))
  (core func $read
    (canon lower (func $fs "[method]descriptor.read") (memory (core memory $libc "memory"))
      (realloc (core func $libc "realloc"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "directories" (func $directories (param i32)))
    (import "host" "open" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "read" (func $read (param i32 i64 i64 i32)))
    (data (i32.const 0) (i32 64 11  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "files-fifo:")
    (data (i32.const 128) "openednone")
    (data (i32.const 160) "fifo")
    (data (i32.const 512) "\06access")  ;; 0
    (data (i32.const 624) "\05exist")  ;; 7
    (data (i32.const 752) "\04loop")  ;; 15
    (data (i32.const 832) "\08no-entry")  ;; 20
    (data (i32.const 896) "\0dnot-directory")  ;; 24
    (data (i32.const 1008) "\0dnot-permitted")  ;; 31
    (data (i32.const 1040) "\09read-only")  ;; 33
    (func $code (param $n i32) (result i32)  ;; answers with an error's name, from a table of 16 bytes each
      (local.set $n (i32.add (i32.const 512) (i32.mul (local.get $n) (i32.const 16))))
      (call $answer (i32.add (local.get $n) (i32.const 1)) (i32.load8_u (local.get $n))))
    (func $answer (param $text i32) (param $length i32) (result i32)
      (i32.store (i32.const 16) (local.get $text))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 8))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (call $directories (i32.const 48))
      (if (i32.eqz (i32.load (i32.const 52))) (then (return (call $answer (i32.const 134) (i32.const 4)))))
      (call $open (i32.load (i32.load (i32.const 48)))  ;; the first directory
        (i32.const 1) (i32.const 160) (i32.const 4) (i32.const 0) (i32.const 1) (i32.const 48))
      (if (i32.load8_u (i32.const 48)) (then (return (call $code (i32.load8_u (i32.const 52))))))
      (call $read (i32.load (i32.const 52)) (i64.const 4096) (i64.const 0) (i32.const 48))
      (if (i32.load8_u (i32.const 48)) (then (return (call $code (i32.load8_u (i32.const 52))))))
      (call $answer (i32.load (i32.const 52)) (i32.load (i32.const 56)))))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "directories" (func $directories)) (export "open" (func $open)) (export "read" (func $read))))))
  (type $row (record (field "name" string) (field "exec" string) (field "keywords" string)))
  (export $item "action-item" (type $row))
  (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $libc "memory"))))
  (func $handle (param "input" string) (result (list $item))
    (canon lift (core func $i "handle") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $runner
    (export "action-item" (type $item)) (export "get-trigger" (func $trigger)) (export "handle" (func $handle)))
  (export "swift:launcher/runner" (instance $runner)))
