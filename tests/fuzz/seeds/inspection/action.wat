(component
  (import "remit:host/log@0.1.0" (instance $log
    (type $level (enum "debug" "info" "warn" "error"))
    (export "level" (type $l (eq $level)))
    (export "write" (func (param "level" $l) (param "message" string)))))
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
    (func (export "run") (param i32 i32) (result i32) i32.const 0)
    (func (export "verify") (param i32 i32 i32 i32) (result i32) i32.const 0))
  (core instance $m (instantiate $m))
  (alias core export $m "memory" (core memory $mem))
  (alias core export $m "realloc" (core func $realloc))
  (func $run (param "input" string) (result (result string (error string)))
    (canon lift (core func $m "run") (memory $mem) (realloc $realloc)))
  (func $verify (param "input" string) (param "output" string) (result (result (error string)))
    (canon lift (core func $m "verify") (memory $mem) (realloc $realloc)))
  (instance $a (export "run" (func $run)) (export "verify" (func $verify)))
  (export "remit:action/remediation@0.1.0" (instance $a)))
