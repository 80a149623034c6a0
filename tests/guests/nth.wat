;; Answers `nth:N` with `fine`, but spins when N is 100 or more: well behaved 99 times, then not.
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 0) (i32 64 4  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "nth:")
    (data (i32.const 16) (i32 128 4))
    (data (i32.const 128) "fine")
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (local $n i32)
      (local.set 1 (i32.add (local.get 0) (local.get 1)))  ;; the input's end
      (local.set 0 (i32.add (local.get 0) (i32.const 4)))  ;; after `nth:`
      (block $parsed (loop $digit
        (br_if $parsed (i32.ge_u (local.get 0) (local.get 1)))
        (local.set $n (i32.add (i32.mul (local.get $n) (i32.const 10))
          (i32.sub (i32.load8_u (local.get 0)) (i32.const 48))))
        (local.set 0 (i32.add (local.get 0) (i32.const 1)))
        (br $digit)))
      (block $fine
        (br_if $fine (i32.lt_s (local.get $n) (i32.const 100)))
        (loop $again (br $again)))
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
