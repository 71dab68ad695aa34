// Rotates, then reads what is not there.
package main

import (
	"github.com/remit/remit/sdk/go"
	"github.com/remit/remit/sdk/go/secrets"
)

type Input struct {
	Path string `json:"path"`
}

type Output struct {
	Sky string `json:"sky"`
}

func run(in Input) (Output, error) {
	rotated, err := secrets.Rotate(in.Path, nil)
	if err != nil {
		return Output{}, err
	}
	var skies []string
	return Output{skies[rotated.Current]}, nil
}

func verify(Input, Output) error { return nil }

func init() { remit.Action(run, verify) }

func main() {}
