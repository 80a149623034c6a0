;; Opens a UDP socket and binds it. It must be refused at one of these steps, and the attempt be noted.
(component
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
    (type $s4 (record (field "port" u16) (field "address" $ipv4)))
    (export "ipv4-socket-address" (type $socket4 (eq $s4)))
    (type $s6 (record (field "port" u16) (field "flow-info" u32) (field "address" $ipv6) (field "scope-id" u32)))
    (export "ipv6-socket-address" (type $socket6 (eq $s6)))
    (type $sa (variant (case "ipv4" $socket4) (case "ipv6" $socket6)))
    (export "ip-socket-address" (type (eq $sa)))))
  (alias export $net "network" (type $network))
  (alias export $net "error-code" (type $error-code))
  (alias export $net "ip-address-family" (type $family))
  (import "wasi:sockets/instance-network@0.2.3" (instance $instance
    (alias outer 1 $network (type $n)) (export "network" (type $network (eq $n)))
    (export "instance-network" (func (result (own $network))))))

  (alias export $net "ip-socket-address" (type $address))
  (import "wasi:sockets/udp@0.2.3" (instance $udp
    (export "udp-socket" (type $socket (sub resource)))
    (alias outer 1 $network (type $n)) (export "network" (type $network (eq $n)))
    (alias outer 1 $error-code (type $e)) (export "error-code" (type $error-code (eq $e)))
    (alias outer 1 $address (type $a)) (export "ip-socket-address" (type $address (eq $a)))
    (export "[method]udp-socket.start-bind" (func (param "self" (borrow $socket)) (param "network" (borrow $network))
      (param "local-address" $address) (result (result (error $error-code)))))))
  (alias export $udp "udp-socket" (type $socket))
  (import "wasi:sockets/udp-create-socket@0.2.3" (instance $create
    (alias outer 1 $socket (type $s)) (export "udp-socket" (type $socket (eq $s)))
    (alias outer 1 $error-code (type $e)) (export "error-code" (type $error-code (eq $e)))
    (alias outer 1 $family (type $f)) (export "ip-address-family" (type $family (eq $f)))
    (export "create-udp-socket" (func (param "address-family" $family)
      (result (result (own $socket) (error $error-code)))))))
  (core module $libc  ;; memory, and a realloc that only ever moves on
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $free)
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8)))))
  (core instance $libc (instantiate $libc))
  (core func $network (canon lower (func $instance "instance-network")))
  (core func $create (canon lower (func $create "create-udp-socket") (memory (core memory $libc "memory"))))
  (core func $start
    (canon lower (func $udp "[method]udp-socket.start-bind") (memory (core memory $libc "memory"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "network" (func $network (result i32)))
    (import "host" "create" (func $create (param i32 i32)))
    (import "host" "start" (func $start
      (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (data (i32.const 0) (i32 64 4  16 1))  ;; the trigger, the list of one item; at 16 the item
    (data (i32.const 64) "udp:")
    (data (i32.const 128) "refusedopened")
    (func $answer (param $text i32) (param $length i32) (result i32)
      (i32.store (i32.const 16) (local.get $text))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 8))
    (func (export "trigger") (result i32) (i32.const 0))
    (func (export "handle") (param i32 i32) (result i32)
      (call $create (i32.const 0) (i32.const 48))
      (if (i32.load8_u (i32.const 48)) (then (return (call $answer (i32.const 128) (i32.const 7)))))
      (call $start (i32.load (i32.const 52)) (call $network)
        (i32.const 0) (i32.const 0) (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)  ;; IPv4, port, address
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 48))
      (if (i32.load8_u (i32.const 48)) (then (return (call $answer (i32.const 128) (i32.const 7)))))
      (call $answer (i32.const 135) (i32.const 6))))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "network" (func $network)) (export "create" (func $create)) (export "start" (func $start))))))
  (type $row (record (field "name" string) (field "exec" string) (field "keywords" string)))
  (export $item "action-item" (type $row))
  (func $trigger (result string) (canon lift (core func $i "trigger") (memory (core memory $libc "memory"))))
  (func $handle (param "input" string) (result (list $item))
    (canon lift (core func $i "handle") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $runner
    (export "action-item" (type $item)) (export "get-trigger" (func $trigger)) (export "handle" (func $handle)))
  (export "swift:launcher/runner" (instance $runner)))
