module disable-stale-accounts

go 1.25

require github.com/remit/remit/sdk/go v0.1.0

require (
	github.com/remit/remit/sdk/go/bindings v0.1.0 // indirect
	go.bytecodealliance.org/pkg v0.2.3 // indirect
)

// The bindings are made by `remit build`.
replace (
	github.com/remit/remit/sdk/go => ../../sdk/go
	github.com/remit/remit/sdk/go/bindings => ./build/bindings
	go.bytecodealliance.org/pkg => ../../sdk/go/pkg
)
