// Package secrets is what remit:secrets offers, one function per interface.
//
// A path has the form app/db/password. Each function needs the interface of its name in the world and in the
// grant. An error is a *remit.Refusal.
package secrets

import (
	"fmt"

	destroy "github.com/remit/remit/sdk/go/bindings/remit_secrets_destroy"
	disable "github.com/remit/remit/sdk/go/bindings/remit_secrets_disable"
	inspect "github.com/remit/remit/sdk/go/bindings/remit_secrets_inspect"
	reveal "github.com/remit/remit/sdk/go/bindings/remit_secrets_reveal"
	rotate "github.com/remit/remit/sdk/go/bindings/remit_secrets_rotate"
	"github.com/remit/remit/sdk/go/internal/refusal"
	"go.bytecodealliance.org/pkg/wit/types"
)

// State is what can be done with a version.
type State string

// The states.
const (
	Enabled   State = "enabled"
	Disabled  State = "disabled"
	Destroyed State = "destroyed"
)

// Version is one version of a secret, without its value.
type Version struct {
	Number  uint64 // Counts from 1.
	Created uint64 // Milliseconds since the Unix epoch.
	State   State  // Whether it can be read.
}

// Metadata is what is known of a secret without reading its values.
type Metadata struct {
	Current  uint64    // The newest version's number; 0 if there is none.
	Versions []Version // Oldest first.
}

// Rotated is what a rotation did.
type Rotated = rotate.Rotated

// Inspect returns the versions of the secret at path, without their values. Effect: observe.
func Inspect(path string) (Metadata, error) {
	result := inspect.Metadata(path)
	if result.IsErr() {
		return Metadata{}, refusal.Of("inspect "+path, result.Err())
	}
	found := result.Ok()
	metadata := Metadata{Current: found.Current}
	for _, version := range found.Versions {
		metadata.Versions = append(metadata.Versions, Version{version.Number, version.Created, state(version.State)})
	}
	return metadata, nil
}

func state(of inspect.VersionState) State {
	switch of {
	case inspect.VersionStateEnabled:
		return Enabled
	case inspect.VersionStateDisabled:
		return Disabled
	default:
		return Destroyed
	}
}

// Rotate writes a new version of the secret at path, in which field holds a fresh value that the host makes
// and the action never sees. With "" for field the secret must have exactly one. Effect: change.
func Rotate(path, field string) (Rotated, error) {
	which := wit_types.None[string]()
	if field != "" {
		which = wit_types.Some(field)
	}
	result := rotate.Rotate(path, which)
	if result.IsErr() {
		return Rotated{}, refusal.Of("rotate "+path, result.Err())
	}
	return result.Ok(), nil
}

// Disable makes a version unreadable, until it is enabled again by undo. Effect: change.
func Disable(path string, version uint64) error {
	if result := disable.Disable(path, version); result.IsErr() {
		return refusal.Of(fmt.Sprintf("disable version %d of %s", version, path), result.Err())
	}
	return nil
}

// Destroy destroys the value of a version for good. Effect: irrevocable.
func Destroy(path string, version uint64) error {
	if result := destroy.Destroy(path, version); result.IsErr() {
		return refusal.Of(fmt.Sprintf("destroy version %d of %s", version, path), result.Err())
	}
	return nil
}

// Reveal returns the value of field in a version: the one function that hands secret material to the action.
// Effect: disclose.
func Reveal(path, field string, version uint64) (string, error) {
	result := reveal.Reveal(path, field, version)
	if result.IsErr() {
		return "", refusal.Of(fmt.Sprintf("reveal %s of version %d of %s", field, version, path), result.Err())
	}
	return result.Ok(), nil
}
