package delivery

import (
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// The outcomes of an archive watcher beyond those every type has.
const (
	outcomeDeployed = "deployed"
	outcomeTampered = "tampered"
)

const (
	// archiveTimeout bounds a whole look where the watcher has no timeout of its own: the largest archive by a slow line.
	archiveTimeout = 15 * time.Minute
	// archiveInterval is the shortest there may be.
	archiveInterval = 10 * time.Second
)

// archiveSpec is the properties of an archive watcher.
type archiveSpec struct {
	// Source is where the archive, a tar.gz, comes from: https://HOST/PATH, or object://BUCKET/NAME for one that the
	// overlay serves; http://HOST/PATH with insecure only.
	Source watchers.Text `yaml:"source,required"`
	// Checksum is the sha256 of the archive in hex. Nothing of an archive with another one is unpacked.
	Checksum watchers.Text `yaml:"checksum,required"`
	// Creates is the folder that all of the archive is in, and the name of what is deployed. Below target a link of this
	// name points to what was unpacked.
	Creates watchers.Text `yaml:"creates,required"`
	// Target is the folder to deploy to, absolute. By default it is where the machines of this machine's identity are.
	Target watchers.Text `yaml:"target"`
	// Verify is the checksum file in the archive that its files are held against, as sha256sum writes it; SHA256SUMS where
	// only verify_checksum is given.
	Verify watchers.Text `yaml:"verify"`
	// VerifyChecksum is the sha256 of that file in hex. Without it what is unpacked is not looked at again.
	VerifyChecksum watchers.Text `yaml:"verify_checksum"`
	// Username is sent to an https source, with the password.
	Username watchers.Text `yaml:"username"`
	// Password is sent to an https source, with the username.
	Password watchers.Text `yaml:"password"`
	// Insecure takes any certificate of the source, and sources of plain http.
	Insecure bool `yaml:"insecure"`
	// CA is the certificates that an https source may have beside those that the system trusts: as PEM, or the absolute
	// path of a PEM file.
	CA watchers.Text `yaml:"ca"`
	// Timeout is how long the source may be silent. The watcher's own timeout bounds a download as a whole, 15m by default.
	Timeout strict.Duration `yaml:"timeout" default:"5s" min:"10ms"`
	// Connection is the name of the connection that object:// sources are asked by.
	Connection string `yaml:"connection" default:"fleet"`
	// Governor is the name of a limit on how many look at once, shared with other watchers.
	Governor string `yaml:"governor"`
	// GovernorTimeout is how long the governor is waited for.
	GovernorTimeout strict.Duration `yaml:"governor_timeout" default:"5m"`
}

func archiveType(s Services) watchers.Type {
	payload := map[string]machine.ValueType{"directory": machine.String, "digest": machine.String}
	turns := &sweepTurns{}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "archive",
			Outcomes: []machine.Outcome{
				{Name: watchers.OutcomeUnchanged, Class: machine.Success, Payload: payload,
					Doc: "what the archive holds is there, and as it was signed; version is that of its machine.yaml, if it has one"},
				{Name: outcomeDeployed, Class: machine.Success, Payload: payload,
					Doc: "the archive was downloaded and unpacked, or one that was there before was made the present one again"},
				{Name: outcomeTampered, Class: machine.Failure, Payload: payload,
					Doc: "a file was changed, added or removed, or the link was; the next look, which comes at once, deploys anew"},
				{Name: machine.OutcomeFail, Class: machine.Failure,
					Doc: "the archive cannot be had, is another one, or cannot be unpacked; what was there before still is"},
			},
		},
		Summary: "Downloads an archive, unpacks it, and sees to it that it stays as it is.",
	}, func(spec *archiveSpec, w *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{
			New: func() watchers.Watcher {
				return &archive{spec: spec, services: s, sweep: archiveSweep{turns: sweepable(spec, w, turns)}}
			},
			Timeout:         archiveTimeout,
			Governor:        spec.Governor,
			GovernorTimeout: spec.GovernorTimeout.Std(),
		}
	})
}
