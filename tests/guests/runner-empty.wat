;; Exports a runner without any function. It must be refused, naming what is missing.
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 0) (i32 64 13  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "runner-empty:")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
  (core instance $i (instantiate $m))
  (instance $runner)
  (export "swift:launcher/runner" (instance $runner)))
