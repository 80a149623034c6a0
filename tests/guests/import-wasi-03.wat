;; Imports an interface of WASI 0.3. It must be refused in these words, and with what to do.
(component
  (import "wasi:cli/environment@0.3.0" (instance (export "get-initial-cwd" (func (result (option string))))))
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 0) (i32 64 15  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "import-wasi-03:")
    (data (i32.const 16) (i32 128 4  132 4  136 3))
    (data (i32.const 128) "finetrueodd")
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32) (i32.const 8))
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
