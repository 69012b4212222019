//go:build !linux

package registry

import "errors"

// exchange would swap two names in one step.
func exchange(string, string) error { return errors.ErrUnsupported }
