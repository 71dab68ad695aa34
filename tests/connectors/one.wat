;; Calls `FUNCTION` with one path; `verify` has nothing to say.
(component
    (import "remit:types/errors@0.1.0" (instance $errors
        (type $failure (variant (case "denied" string) (case "not-found" string) (case "conflict" string)
            (case "invalid" string) (case "unavailable" string)))
        (export "failure" (type (eq $failure)))))
    (alias export $errors "failure" (type $failure))
    (import "INTERFACE" (instance $own
        (alias outer 1 $failure (type $failure))
        (export "failure" (type $own (eq $failure)))
        (export "FUNCTION" (func (param "path" string) (result (result (error $own)))))))

    (core module $memory
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 4096))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
    (core instance $memory (instantiate $memory))
    (core func $call (canon lower (func $own "FUNCTION")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))

    (core module $action
        (import "memory" "memory" (memory 1))
        (import "own" "call" (func $call (param i32 i32 i32)))
        (data (i32.const 16) "PATH")
        (data (i32.const 128) "true")
        ;; What the call answered is at 256, what this returns is at 512: whether it failed, and a text.
        (func (export "run") (param i32 i32) (result i32)
            (call $call (i32.const 16) (i32.const LENGTH) (i32.const 256))
            (i32.store8 (i32.const 512) (i32.load8_u (i32.const 256)))
            (i32.store (i32.const 516) (i32.const 128))
            (i32.store (i32.const 520) (i32.const 4))
            ;; The words of a failure.
            (if (i32.load8_u (i32.const 256)) (then
                (i32.store (i32.const 516) (i32.load (i32.const 264)))
                (i32.store (i32.const 520) (i32.load (i32.const 268)))))
            (i32.const 512))
        (func (export "verify") (param i32 i32 i32 i32) (result i32)
            (i32.store8 (i32.const 512) (i32.const 0))
            (i32.const 512)))
    (core instance $action (instantiate $action
        (with "memory" (instance $memory))
        (with "own" (instance (export "call" (func $call))))))
    (func $run (param "input" string) (result (result string (error string)))
        (canon lift (core func $action "run")
            (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (func $verify (param "input" string) (param "output" string) (result (result (error string)))
        (canon lift (core func $action "verify")
            (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (instance $x (export "run" (func $run)) (export "verify" (func $verify)))
    (export "remit:action/remediation@0.1.0" (instance $x)))
