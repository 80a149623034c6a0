;; Instantiates a module 20 million times, by components of components, in a file of 1 KB. It must be refused, and
;; not eat the machine while it is compiled.
(component
  (component $c0
    (core module $leaf)
    (core instance (instantiate $leaf)) (core instance (instantiate $leaf)))
  (component $c1  ;; ten of the one before
    (instance (instantiate $c0)) (instance (instantiate $c0)) (instance (instantiate $c0))
    (instance (instantiate $c0)) (instance (instantiate $c0)) (instance (instantiate $c0))
    (instance (instantiate $c0)) (instance (instantiate $c0)) (instance (instantiate $c0))
    (instance (instantiate $c0)))
  (component $c2  ;; ten of the one before
    (instance (instantiate $c1)) (instance (instantiate $c1)) (instance (instantiate $c1))
    (instance (instantiate $c1)) (instance (instantiate $c1)) (instance (instantiate $c1))
    (instance (instantiate $c1)) (instance (instantiate $c1)) (instance (instantiate $c1))
    (instance (instantiate $c1)))
  (component $c3  ;; ten of the one before
    (instance (instantiate $c2)) (instance (instantiate $c2)) (instance (instantiate $c2))
    (instance (instantiate $c2)) (instance (instantiate $c2)) (instance (instantiate $c2))
    (instance (instantiate $c2)) (instance (instantiate $c2)) (instance (instantiate $c2))
    (instance (instantiate $c2)))
  (component $c4  ;; ten of the one before
    (instance (instantiate $c3)) (instance (instantiate $c3)) (instance (instantiate $c3))
    (instance (instantiate $c3)) (instance (instantiate $c3)) (instance (instantiate $c3))
    (instance (instantiate $c3)) (instance (instantiate $c3)) (instance (instantiate $c3))
    (instance (instantiate $c3)))
  (component $c5  ;; ten of the one before
    (instance (instantiate $c4)) (instance (instantiate $c4)) (instance (instantiate $c4))
    (instance (instantiate $c4)) (instance (instantiate $c4)) (instance (instantiate $c4))
    (instance (instantiate $c4)) (instance (instantiate $c4)) (instance (instantiate $c4))
    (instance (instantiate $c4)))
  (component $c6  ;; ten of the one before
    (instance (instantiate $c5)) (instance (instantiate $c5)) (instance (instantiate $c5))
    (instance (instantiate $c5)) (instance (instantiate $c5)) (instance (instantiate $c5))
    (instance (instantiate $c5)) (instance (instantiate $c5)) (instance (instantiate $c5))
    (instance (instantiate $c5)))
  (component $c7  ;; ten of the one before
    (instance (instantiate $c6)) (instance (instantiate $c6)) (instance (instantiate $c6))
    (instance (instantiate $c6)) (instance (instantiate $c6)) (instance (instantiate $c6))
    (instance (instantiate $c6)) (instance (instantiate $c6)) (instance (instantiate $c6))
    (instance (instantiate $c6)))
  (instance (instantiate $c7))
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 0) (i32 64 14  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "instances-20m:")
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
