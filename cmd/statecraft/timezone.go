package main

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// noteTimezone warns whoever starts a host of a TZ that is no zone: the standard library takes UTC without a word, and schedules come at
// other hours.
func (inv *invocation) noteTimezone() {
	name := strings.TrimPrefix(os.Getenv("TZ"), ":")
	if name == "" || filepath.IsAbs(name) {
		return
	}
	if _, err := time.LoadLocation(name); err != nil {
		inv.notef("TZ=%s is no time zone that is known here, so that schedules without a timezone are in UTC; write a name such as Europe/Berlin", name)
	}
}
