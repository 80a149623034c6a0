;; Grows four small memories as far as each may and fills them. What counts is their sum: it must be stopped at the
;; limit, not at four times that. Traps when it has more.
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 0) (i32 64 14  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "memories-grow:")
    (data (i32.const 16) (i32 128 7))
    (data (i32.const 128) "bounded")
    (memory $m1 1) (memory $m2 1) (memory $m3 1) (memory $m4 1)
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (loop $more (br_if $more (i32.ne (memory.grow $m1 (i32.const 16)) (i32.const -1))))
      (memory.fill $m1 (i32.const 0) (i32.const 1) (i32.mul (memory.size $m1) (i32.const 65536)))
      (loop $more (br_if $more (i32.ne (memory.grow $m2 (i32.const 16)) (i32.const -1))))
      (memory.fill $m2 (i32.const 0) (i32.const 1) (i32.mul (memory.size $m2) (i32.const 65536)))
      (loop $more (br_if $more (i32.ne (memory.grow $m3 (i32.const 16)) (i32.const -1))))
      (memory.fill $m3 (i32.const 0) (i32.const 1) (i32.mul (memory.size $m3) (i32.const 65536)))
      (loop $more (br_if $more (i32.ne (memory.grow $m4 (i32.const 16)) (i32.const -1))))
      (memory.fill $m4 (i32.const 0) (i32.const 1) (i32.mul (memory.size $m4) (i32.const 65536)))
      (if (i32.gt_u (i32.add (i32.add (memory.size $m1) (memory.size $m2)) (i32.add (memory.size $m3) (memory.size $m4)))
          (i32.const 1024)) (then (unreachable)))
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
