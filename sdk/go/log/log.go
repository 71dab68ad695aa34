// Package log writes lines for the journal of the run. They count against the scope's log_bytes; write no
// secrets.
package log

import (
	"fmt"

	host "github.com/remit/remit/sdk/go/bindings/remit_host_log"
)

// Debug writes a detail for whoever examines the action, formatted as by fmt.Sprintf.
func Debug(format string, values ...any) { host.Write(host.LevelDebug, fmt.Sprintf(format, values...)) }

// Info writes something the operator may want to know.
func Info(format string, values ...any) { host.Write(host.LevelInfo, fmt.Sprintf(format, values...)) }

// Warn writes something the operator should look at.
func Warn(format string, values ...any) { host.Write(host.LevelWarn, fmt.Sprintf(format, values...)) }

// Error writes something that went wrong.
func Error(format string, values ...any) { host.Write(host.LevelError, fmt.Sprintf(format, values...)) }
