;; Grows its memory by 1 MiB at a time and writes to every page, till it gets no more; then traps. It must stop at
;; the limit.
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 0) (i32 64 12  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "memory-bomb:")
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (local $at i32)
      (loop $more
        (local.set $at (i32.mul (memory.size) (i32.const 65536)))
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))
        (loop $page  ;; write to each page of 4 KiB
          (i32.store (local.get $at) (i32.const 1))
          (local.set $at (i32.add (local.get $at) (i32.const 4096)))
          (br_if $page (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))
        (br $more))
      (unreachable))
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
