;; Closes the collection `app/users`; `verify` looks whether it has no rule.
(component
    (import "remit:types/errors@0.1.0" (instance $errors
        (type $failure (variant (case "denied" string) (case "not-found" string) (case "conflict" string)
            (case "invalid" string) (case "unavailable" string)))
        (export "failure" (type (eq $failure)))))
    (alias export $errors "failure" (type $failure))
    (import "acme:rules/inspect@0.1.0" (instance $inspect
        (alias outer 1 $failure (type $failure))
        (export "failure" (type $own (eq $failure)))
        (export "create-rule" (func (param "path" string) (result (result (option string) (error $own)))))))
    (import "acme:rules/close@0.1.0" (instance $close
        (alias outer 1 $failure (type $failure))
        (export "failure" (type $own (eq $failure)))
        (export "close" (func (param "path" string) (result (result (error $own)))))))

    (core module $memory
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 4096))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
    (core instance $memory (instantiate $memory))
    (core func $close (canon lower (func $close "close")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core func $create-rule (canon lower (func $inspect "create-rule")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))

    (core module $action
        (import "memory" "memory" (memory 1))
        (import "rules" "close" (func $close (param i32 i32 i32)))
        (import "rules" "create-rule" (func $create-rule (param i32 i32 i32)))
        (data (i32.const 16) "app/users")
        (data (i32.const 32) "true")
        (data (i32.const 48) "it is open")
        ;; What a call answered is at 256, what this returns is at 512: whether it failed, and a text.
        (func $answer (param $failed i32) (param $text i32) (param $length i32) (result i32)
            (i32.store8 (i32.const 512) (local.get $failed))
            (i32.store (i32.const 516) (local.get $text))
            (i32.store (i32.const 520) (local.get $length))
            (i32.const 512))
        ;; The words of a failure.
        (func $failed (result i32)
            (call $answer (i32.const 1) (i32.load (i32.const 264)) (i32.load (i32.const 268))))
        (func (export "run") (param i32 i32) (result i32)
            (call $close (i32.const 16) (i32.const 9) (i32.const 256))
            (if (i32.load8_u (i32.const 256)) (then (return (call $failed))))
            (call $answer (i32.const 0) (i32.const 32) (i32.const 4)))
        (func (export "verify") (param i32 i32 i32 i32) (result i32)
            (call $create-rule (i32.const 16) (i32.const 9) (i32.const 256))
            (if (i32.load8_u (i32.const 256)) (then (return (call $failed))))
            ;; Whether the option is some.
            (if (i32.load8_u (i32.const 260)) (then (return (call $answer (i32.const 1) (i32.const 48) (i32.const 10)))))
            (call $answer (i32.const 0) (i32.const 0) (i32.const 0))))
    (core instance $action (instantiate $action
        (with "memory" (instance $memory))
        (with "rules" (instance (export "close" (func $close)) (export "create-rule" (func $create-rule))))))
    (func $run (param "input" string) (result (result string (error string)))
        (canon lift (core func $action "run")
            (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (func $verify (param "input" string) (param "output" string) (result (result (error string)))
        (canon lift (core func $action "verify")
            (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (instance $x (export "run" (func $run)) (export "verify" (func $verify)))
    (export "remit:action/remediation@0.1.0" (instance $x)))
