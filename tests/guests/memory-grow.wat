;; Grows its memory by 1 MiB at a time till it gets no more, and answers with the number of MiB: the limit must be
;; `64`.
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 0) (i32 64 12  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "memory-grow:")
    (data (i32.const 16) (i32 128 2))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (local $mib i32)
      (drop (memory.grow (i32.const 15)))  ;; 1 MiB
      (loop $more
        (local.set $mib (i32.add (local.get $mib) (i32.const 1)))
        (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
      (i32.store8 (i32.const 128) (i32.add (i32.const 48) (i32.div_u (local.get $mib) (i32.const 10))))
      (i32.store8 (i32.const 129) (i32.add (i32.const 48) (i32.rem_u (local.get $mib) (i32.const 10))))
      (i32.const 8))
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
