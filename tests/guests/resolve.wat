;; Looks up the name `localhost`. It must be refused, and the attempt be noted.
(component
  (import "wasi:io/poll@0.2.3" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:sockets/network@0.2.3" (instance $net
    (export "network" (type $network (sub resource)))
    (type $codes (enum
      "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
      "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit"
      "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset"
      "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
      "permanent-resolver-failure"))
    (export "error-code" (type (eq $codes)))
    (type $family (enum "ipv4" "ipv6")) (export "ip-address-family" (type (eq $family)))
    (type $v4 (tuple u8 u8 u8 u8)) (export "ipv4-address" (type $ipv4 (eq $v4)))
    (type $v6 (tuple u16 u16 u16 u16 u16 u16 u16 u16)) (export "ipv6-address" (type $ipv6 (eq $v6)))
    (type $ip (variant (case "ipv4" $ipv4) (case "ipv6" $ipv6))) (export "ip-address" (type (eq $ip)))))
  (alias export $net "network" (type $network))
  (alias export $net "error-code" (type $error-code))
  (alias export $net "ip-address-family" (type $family))
  (import "wasi:sockets/instance-network@0.2.3" (instance $instance
    (alias outer 1 $network (type $n)) (export "network" (type $network (eq $n)))
    (export "instance-network" (func (result (own $network))))))
  (alias export $net "ip-address" (type $address))
  (import "wasi:sockets/ip-name-lookup@0.2.3" (instance $lookup
    (export "resolve-address-stream" (type $stream (sub resource)))
    (alias outer 1 $network (type $n)) (export "network" (type $network (eq $n)))
    (alias outer 1 $error-code (type $e)) (export "error-code" (type $error-code (eq $e)))
    (alias outer 1 $address (type $a)) (export "ip-address" (type $address (eq $a)))
    (alias outer 1 $pollable (type $p)) (export "pollable" (type $pollable (eq $p)))
    (export "resolve-addresses" (func (param "network" (borrow $network)) (param "name" string)
      (result (result (own $stream) (error $error-code)))))
    (export "[method]resolve-address-stream.subscribe" (func (param "self" (borrow $stream)) (result (own $pollable))))
    (export "[method]resolve-address-stream.resolve-next-address" (func (param "self" (borrow $stream))
      (result (result (option $address) (error $error-code)))))))
  (core module $libc  ;; memory, and a realloc that only ever moves on
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $free)
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8)))))
  (core instance $libc (instantiate $libc))
  (core func $network (canon lower (func $instance "instance-network")))
  (core func $resolve (canon lower (func $lookup "resolve-addresses") (memory (core memory $libc "memory"))))
  (core func $subscribe (canon lower (func $lookup "[method]resolve-address-stream.subscribe")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $next
    (canon lower (func $lookup "[method]resolve-address-stream.resolve-next-address")
      (memory (core memory $libc "memory"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "network" (func $network (result i32)))
    (import "host" "resolve" (func $resolve (param i32 i32 i32 i32)))
    (import "host" "subscribe" (func $subscribe (param i32) (result i32)))
    (import "host" "block" (func $block (param i32)))
    (import "host" "next" (func $next (param i32 i32)))
    (data (i32.const 0) (i32 64 8  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "resolve:")
    (data (i32.const 128) "refusedresolved")
    (data (i32.const 144) "localhost")
    (func $answer (param $text i32) (param $length i32) (result i32)
      (i32.store (i32.const 16) (local.get $text))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 8))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (call $resolve (call $network) (i32.const 144) (i32.const 9) (i32.const 48))
      (if (i32.load8_u (i32.const 48)) (then (return (call $answer (i32.const 128) (i32.const 7)))))
      (call $block (call $subscribe (i32.load (i32.const 52))))
      (call $next (i32.load (i32.const 52)) (i32.const 160))
      (if (i32.load8_u (i32.const 160)) (then (return (call $answer (i32.const 128) (i32.const 7)))))
      (call $answer (i32.const 135) (i32.const 8))))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "network" (func $network)) (export "resolve" (func $resolve))
      (export "subscribe" (func $subscribe)) (export "block" (func $block))
      (export "next" (func $next))))))
  (type $row (record (field "name" string) (field "exec" string) (field "keywords" string)))
  (export $item "action-item" (type $row))
  (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $libc "memory"))))
  (func $handle (param "input" string) (result (list $item))
    (canon lift (core func $i "handle") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $runner
    (export "action-item" (type $item)) (export "get-trigger" (func $trigger)) (export "handle" (func $handle)))
  (export "swift:launcher/runner" (instance $runner)))
