module github.com/remit/remit/sdk/go

go 1.25

require (
	github.com/remit/remit/sdk/go/bindings v0.1.0
	go.bytecodealliance.org/pkg v0.2.3
)
