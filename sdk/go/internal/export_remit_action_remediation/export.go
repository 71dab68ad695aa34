// Package export_remit_action_remediation is what the generated exports call, by this name.
package export_remit_action_remediation

import types "go.bytecodealliance.org/pkg/wit/types"

// Action is the program's, once an init function has set it.
var Action struct {
	Run    func(input string) (string, error)
	Verify func(input, output string) error
}

const none = "this program is no action: call remit.Action in an init function"

// Run is the export.
func Run(input string) types.Result[string, string] {
	if Action.Run == nil {
		return types.Err[string, string](none)
	}
	output, err := Action.Run(input)
	if err != nil {
		return types.Err[string](err.Error())
	}
	return types.Ok[string, string](output)
}

// Verify is the export.
func Verify(input, output string) types.Result[types.Unit, string] {
	if Action.Verify == nil {
		return types.Err[types.Unit](none)
	}
	if err := Action.Verify(input, output); err != nil {
		return types.Err[types.Unit](err.Error())
	}
	return types.Ok[types.Unit, string](types.Unit{})
}
