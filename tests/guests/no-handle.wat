;; Exports a runner without handle. It must be refused, naming handle.
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 0) (i32 64 10  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "no-handle:")
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
  (core instance $i (instantiate $m))
  (type $row (record (field "name" string) (field "exec" string) (field "keywords" string)))
  (export $item "action-item" (type $row))
  (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $i "memory"))))
  (instance $runner
    (export "action-item" (type $item)) (export "get-trigger" (func $trigger)))
  (export "swift:launcher/runner" (instance $runner)))
