// Package remit is for writing Remit actions in Go.
//
// An action is two functions: run performs the repair, verify looks, without changing anything, whether it
// holds. Both take and return what encoding/json reads and writes:
//
//	type Input struct {
//		Path string `json:"path"`
//	}
//
//	type Output struct {
//		Current uint64 `json:"current"`
//	}
//
//	func run(in Input) (Output, error) {
//		rotated, err := secrets.Rotate(in.Path, nil)
//		return Output{Current: rotated.Current}, err
//	}
//
//	func verify(in Input, out Output) error {
//		now, err := secrets.Inspect(in.Path)
//		if err == nil && now.Current != out.Current {
//			err = errors.New("it was changed since")
//		}
//		return err
//	}
//
//	func init() { remit.Action(run, verify) }
//
//	func main() {} // Never called.
//
// An action reaches only what it calls in here, and only where its grant says so. The host runs run twice,
// first to rehearse; the action cannot tell which, so keep it a function of its input and of what the host
// answers.
package remit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	facts "github.com/remit/remit/sdk/go/bindings/remit_host_run"
	_ "github.com/remit/remit/sdk/go/bindings/wit_exports" // What the host calls.
	exports "github.com/remit/remit/sdk/go/internal/export_remit_action_remediation"
	"github.com/remit/remit/sdk/go/log"
)

// Facts is what an action may know about its own run.
type Facts struct {
	ID      string // As in `remit show RUN`.
	Started uint64 // Milliseconds since the Unix epoch.
	Reason  string // The reason given when the run was granted.
}

// Run returns the facts of this run, the same at every call.
func Run() Facts {
	f := facts.Facts()
	return Facts{ID: f.Id, Started: f.Started, Reason: f.Reason}
}

// Action makes two functions the action of this program. Call it once, in an init function: main is never
// called.
//
// The text of an error goes to the operator and into the journal: put no secret in it.
func Action[Input, Output any](run func(Input) (Output, error), verify func(Input, Output) error) {
	if exports.Action.Run != nil {
		panic("remit.Action was called twice")
	}
	exports.Action.Run = func(input string) (text string, err error) {
		defer recovered(&err)
		var in Input
		if err := read("input", input, &in); err != nil {
			return "", err
		}
		out, err := run(in)
		if err != nil {
			return "", err
		}
		return write(out)
	}
	exports.Action.Verify = func(input, output string) (err error) {
		defer recovered(&err)
		var in Input
		if err := read("input", input, &in); err != nil {
			return err
		}
		var out Output
		if err := read("output", output, &out); err != nil {
			return err
		}
		return verify(in, out)
	}
}

// read is json.Unmarshal, less members that the type does not have.
func read(what, text string, into any) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more than one JSON value")
		}
	}
	if err != nil {
		return fmt.Errorf("the action's %s: %w", what, err)
	}
	return nil
}

// write is json.Marshal, less the escapes that only a browser needs.
func write(value any) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", fmt.Errorf("the action's output: %w", err)
	}
	return strings.TrimSuffix(text.String(), "\n"), nil
}

// recovered makes a panic the action's failure. It is a defect of the action: its place goes into the log.
func recovered(err *error) {
	cause := recover()
	if cause == nil {
		return
	}
	// From the panic on: less runtime.Callers and this function.
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	var lines strings.Builder
	fmt.Fprintf(&lines, "panic: %v", cause)
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		if strings.HasPrefix(frame.Function, sdk) {
			break
		}
		if frame.Function != "" && !strings.HasPrefix(frame.Function, "runtime.") {
			fmt.Fprintf(&lines, "\n  %s:%d in %s", frame.File, frame.Line, frame.Function)
		}
	}
	log.Error("%s", lines.String())
	*err = fmt.Errorf("panic: %v", cause)
}

// The name under which the functions of this package are called.
const sdk = "github.com/remit/remit/sdk/go."
