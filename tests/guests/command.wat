;; A command instead of a plugin: it exports `wasi:cli/run`. It must be refused, and told so.
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 0) (i32 64 8  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "command:")
    (data (i32.const 16) (i32 128 4  132 4  136 3))
    (data (i32.const 128) "finetrueodd")
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32) (i32.const 8))
    (func (export "run") (result i32) (i32.const 0))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
  (core instance $i (instantiate $m))
  (type $row (record (field "name" string) (field "exec" string) (field "keywords" string)))
  (export $item "action-item" (type $row))
  (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $i "memory"))))
  (func $handle (param "input" string) (result (list $item))
    (canon lift (core func $i "handle") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.3" (instance $command)))
