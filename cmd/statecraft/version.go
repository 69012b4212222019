package main

import (
	"runtime"
	"runtime/debug"

	"github.com/statecraft-io/statecraft/machine"
)

// versionVerb tells what this program was built from.
type versionVerb struct{}

// versionResult is what version --json prints. Fields that the build does not know are empty.
type versionResult struct {
	Version  string `json:"version"`            // SemVer with a "v", or "(devel)"
	Release  string `json:"release"`            // SemVer: what a manifest's requires is held against
	Revision string `json:"revision,omitempty"` // of the source
	Time     string `json:"time,omitempty"`     // of the revision, RFC 3339
	Modified bool   `json:"modified"`           // the source was not as in the revision
	Go       string `json:"go"`
	Platform string `json:"platform"` // operating system and architecture
}

// Run prints the version.
func (versionVerb) Run(inv *invocation) error {
	v := buildVersion()
	if inv.json {
		return inv.printJSON(v)
	}
	inv.printf("statecraft %s\n", v.Version)
	inv.printf("runs manifests that require release %s or earlier\n", v.Release)
	if v.Revision != "" {
		modified := ""
		if v.Modified {
			modified = ", modified"
		}
		inv.printf("revision %s of %s%s\n", v.Revision, v.Time, modified)
	}
	inv.printf("built with %s for %s\n", v.Go, v.Platform)
	return nil
}

func buildVersion() versionResult {
	v := versionResult{Version: "(devel)", Release: machine.Release, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
