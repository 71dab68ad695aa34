package remit

import "github.com/remit/remit/sdk/go/internal/refusal"

// Refusal is the error of a call that the host did not do. Nothing was changed, unless Code is Unavailable.
type Refusal = refusal.Refusal

// Code is the kind of a refusal, spelt as in the WIT and in tests: "not-found".
type Code = refusal.Code

// Why the host did not do what was asked.
const (
	Denied      = refusal.Denied      // The real system refused the host's own credential.
	NotFound    = refusal.NotFound    // There is no such secret, version or field.
	Conflict    = refusal.Conflict    // Someone else changed what the call assumed.
	Invalid     = refusal.Invalid     // The arguments make no sense.
	Unavailable = refusal.Unavailable // The real system did not answer: a change may or may not have happened.
)
