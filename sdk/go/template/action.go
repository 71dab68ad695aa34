// What this action repairs.
{% set inspect = "remit:secrets/inspect" in names %}
{% set rotate = "remit:secrets/rotate" in names %}
{% set disable = "remit:secrets/disable" in names %}
{% set destroy = "remit:secrets/destroy" in names %}
{% set reveal = "remit:secrets/reveal" in names %}
package main

import (
{% if inspect and rotate %}
	"fmt"

{% endif %}
	"github.com/remit/remit/sdk/go"
	"github.com/remit/remit/sdk/go/log"
{% if inspect or rotate %}
	"github.com/remit/remit/sdk/go/secrets"
{% endif %}
)

// Input is what it is given; action.toml has the schema.
type Input struct {
	Path string `json:"path"`
}

// Output is what it did; verify gets it.
type Output struct {
{% if rotate %}
	Path    string `json:"path"`
	Current uint64 `json:"current"`
{% else %}
	Path string `json:"path"`
{% endif %}
}

func run(in Input) (Output, error) {
{% if inspect %}
	before, err := secrets.Inspect(in.Path)
	if err != nil {
		return Output{}, err
	}
	log.Info("%s is at version %d", in.Path, before.Current)
{% else %}
	log.Info("looking at %s", in.Path)
{% endif %}
{% if reveal and inspect %}
	if _, err := secrets.Reveal(in.Path, "value", before.Current); err != nil {
		return Output{}, err
	}
{% endif %}
{% if rotate %}
	rotated, err := secrets.Rotate(in.Path, "")
	if err != nil {
		return Output{}, err
	}
{% endif %}
{% if disable and inspect %}
	if err := secrets.Disable(in.Path, before.Current); err != nil {
		return Output{}, err
	}
{% endif %}
{% if destroy and inspect %}
	if err := secrets.Destroy(in.Path, before.Current); err != nil {
		return Output{}, err
	}
{% endif %}
	return Output{Path: in.Path{% if rotate %}, Current: rotated.Current{% endif %}}, nil
}

func verify(_ Input, out Output) error {
{% if inspect and rotate %}
	now, err := secrets.Inspect(out.Path)
	if err != nil {
		return err
	}
	if now.Current != out.Current {
		return fmt.Errorf("%s was changed since", out.Path)
	}
{% else %}
	// Look, without changing anything, whether the repair holds.
	log.Info("%s is done", out.Path)
{% endif %}
	return nil
}

func init() { remit.Action(run, verify) }

// Never called: the host calls run and verify.
func main() {}
