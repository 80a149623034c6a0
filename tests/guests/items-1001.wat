;; Answers with one item more than the limit. The first 1,000 must come, and a note that there were more.
(component
  (core module $m
    (memory (export "memory") 2)
    (data (i32.const 0) (i32 64 11  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "items-1001:")
    (data (i32.const 96) (i32 65536 1001))
    (data (i32.const 128) "row")
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.const 65536))
      (loop $next  ;; each item is named `row`
        (i32.store (local.get $at) (i32.const 128))
        (i32.store offset=4 (local.get $at) (i32.const 3))
        (local.set $at (i32.add (local.get $at) (i32.const 24)))
        (br_if $next (i32.lt_u (local.get $at) (i32.const 89560))))
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
