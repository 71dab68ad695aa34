// Package refusal turns what the host would not do into errors.
package refusal

import (
	"strings"

	"github.com/remit/remit/sdk/go/bindings/remit_types_errors"
)

// Code is the kind of a refusal, spelt as in the WIT and in tests.
type Code string

// As package remit documents them.
const (
	Denied      Code = "denied"
	NotFound    Code = "not-found"
	Conflict    Code = "conflict"
	Invalid     Code = "invalid"
	Unavailable Code = "unavailable"
)

// Refusal is a call that the host did not do.
type Refusal struct {
	Doing  string // What was asked, such as "rotate app/db".
	Code   Code   // Why not.
	Detail string // The host's words.
}

func (r *Refusal) Error() string {
	return "could not " + r.Doing + ": " + strings.ReplaceAll(string(r.Code), "-", " ") + ": " + r.Detail
}

// Of is the error for a failure of the host; doing says what was asked.
func Of(doing string, failure remit_types_errors.Failure) error {
	switch failure.Tag() {
	case remit_types_errors.FailureDenied:
		return &Refusal{doing, Denied, failure.Denied()}
	case remit_types_errors.FailureNotFound:
		return &Refusal{doing, NotFound, failure.NotFound()}
	case remit_types_errors.FailureConflict:
		return &Refusal{doing, Conflict, failure.Conflict()}
	case remit_types_errors.FailureInvalid:
		return &Refusal{doing, Invalid, failure.Invalid()}
	default:
		return &Refusal{doing, Unavailable, failure.Unavailable()}
	}
}
