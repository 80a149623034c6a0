;; Answers with a name of 4 KiB and then one byte more. The first item is as long as may be, the second is
;; cut, with a note.
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 0) (i32 64 10  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "name-long:")
    (data (i32.const 96) (i32 104 2))
    (data (i32.const 104) (i32 8192 4096  0 0 0 0  8192 4097  0 0 0 0))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (memory.fill (i32.const 8192) (i32.const 0x78) (i32.const 4097))
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
