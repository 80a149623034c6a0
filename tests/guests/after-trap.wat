;; Sets a global, then traps if the input ends in `boom`. The next call must find the global unset and answer
;; `fresh`.
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 0) (i32 64 11  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "after-trap:")
    (data (i32.const 16) (i32 128 5))
    (data (i32.const 40) (i32 133 5 0 0 0 0))
    (data (i32.const 96) (i32 40 1))
    (data (i32.const 128) "freshstale")
    (global $seen (mut i32) (i32.const 0))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (if (global.get $seen) (then (return (i32.const 96))))
      (global.set $seen (i32.const 1))
      (if (i32.eq (i32.load align=1 (i32.sub (i32.add (local.get 0) (local.get 1)) (i32.const 4))) (i32.const 0x6d6f6f62))
        (then (unreachable)))
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
