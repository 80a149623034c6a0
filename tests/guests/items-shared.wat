;; Answers with 100,000 items that share one string of 1 MiB: 100 GB once lifted. It must be cut, in memory and
;; time.
(component
  (core module $m
    (memory (export "memory") 70)
    (data (i32.const 0) (i32 64 13  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "items-shared:")
    (data (i32.const 96) (i32 2097152 100000))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (local $at i32)
      (memory.fill (i32.const 65536) (i32.const 0x78) (i32.const 1048576))
      (local.set $at (i32.const 2097152))
      (loop $next
        (i32.store (local.get $at) (i32.const 65536))
        (i32.store offset=4 (local.get $at) (i32.const 1048576))
        (local.set $at (i32.add (local.get $at) (i32.const 24)))
        (br_if $next (i32.lt_u (local.get $at) (i32.const 4497152))))
      (i32.const 96))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
  (core instance $i (instantiate $m))
  (type $row (record (field "name" string) (field "exec" string) (field "keywords" string)))
  (export $item "action-item" (type $row))
  (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $i "memory"))))
  (func $handle (param "input" string) (result (list $item))
    (canon lift (core func $i "handle") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (instance $runner
    (export "action-item" (type $item)) (export "get-trigger" (func $trigger)) (export "handle" (func $handle)))
  (export "swift:launcher/runner" (instance $runner)))
