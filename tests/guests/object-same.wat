;; Answers with the same handle twice, as if it were two objects. It must trap.
(component
  (component $runner
    (core module $d (func (export "drop") (param i32)))
    (core instance $d (instantiate $d))
    (type $object (resource (rep i32) (dtor (core func $d "drop"))))
    (export $item "action-item" (type $object))
    (core func $new (canon resource.new $object))
    (core module $m
      (import "own" "new" (func $new (param i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) (i32 64 12  16 2))  ;; the trigger, the list of handles
      (data (i32.const 24) (i32 128 4))  ;; what the methods return
      (data (i32.const 64) "object-same:")
      (data (i32.const 128) "fine")
      (func (export "trigger") (result i32) (i32.const 0))
      (func (export "handle") (param i32 i32) (result i32)
        (i32.store (i32.const 16) (call $new (i32.const 7)))
        (i32.store (i32.const 20) (i32.load (i32.const 16)))
        (i32.const 8))
      (func (export "get") (param $rep i32) (result i32) (i32.const 24))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
    (core instance $i (instantiate $m (with "own" (instance (export "new" (func $new))))))
    (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $i "memory"))))
    (func $handle (param "input" string) (result (list (own $item)))
      (canon lift (core func $i "handle") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
    (func $get (param "self" (borrow $item)) (result string)
      (canon lift (core func $i "get") (memory (core memory $i "memory"))))
    (export "get-trigger" (func $trigger))
    (export "handle" (func $handle))
    (export "[method]action-item.get-name" (func $get))
    (export "[method]action-item.get-exec" (func $get)))
  (instance $runner (instantiate $runner))
  (export "swift:launcher/runner" (instance $runner)))
