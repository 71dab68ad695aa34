// Rotates one secret: the host writes a new version with a value that nobody else has seen.
package main

import (
	"fmt"

	"github.com/remit/remit/sdk/go"
	"github.com/remit/remit/sdk/go/log"
	"github.com/remit/remit/sdk/go/secrets"
)

// Input says which secret to rotate.
type Input struct {
	// The secret's path, such as `app/db/password`.
	Path string `json:"path"`
	// Which of its fields gets a new value; needed when it has more than one.
	Field *string `json:"field"`
}

// Output is what was done.
type Output struct {
	// The rotated secret's path.
	Path string `json:"path"`
	// The version that was current before.
	Previous uint64 `json:"previous"`
	// The version with the new value.
	Current uint64 `json:"current"`
}

func run(in Input) (Output, error) {
	before, err := secrets.Inspect(in.Path)
	if err != nil {
		return Output{}, err
	}
	log.Info("%s is at version %d", in.Path, before.Current)

	rotated, err := secrets.Rotate(in.Path, in.Field)
	if err != nil {
		return Output{}, err
	}
	log.Info("%s is now at version %d", in.Path, rotated.Current)
	return Output{in.Path, rotated.Previous, rotated.Current}, nil
}

func verify(_ Input, out Output) error {
	now, err := secrets.Inspect(out.Path)
	if err != nil {
		return err
	}
	if now.Current != out.Current {
		return fmt.Errorf("%s is at version %d, not at %d", out.Path, now.Current, out.Current)
	}
	for _, version := range now.Versions {
		if version.Number != out.Current {
			continue
		}
		if version.State != secrets.VersionStateEnabled {
			return fmt.Errorf("version %d of %s cannot be read", out.Current, out.Path)
		}
		return nil
	}
	return fmt.Errorf("the backend does not list version %d of %s", out.Current, out.Path)
}

func init() { remit.Action(run, verify) }

func main() {}
