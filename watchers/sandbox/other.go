//go:build !linux

package sandbox

import (
	"context"
	"fmt"
	"runtime"
)

// Main returns at once: without Linux nothing is confined.
func Main() {}

// Run refuses: without process groups, marks and limits as Linux has them its promises would not hold.
func (c *Command) Run(context.Context) (Result, error) {
	return Result{ExitCode: -1}, fmt.Errorf("running %s: programs are run on Linux only, this is %s", c.Path, runtime.GOOS)
}
