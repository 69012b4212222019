package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/publication"
	"github.com/statecraft-io/statecraft/watchers"
)

// publishVerb checks, signs and publishes machines.
type publishVerb struct {
	shelfFlags
	signingFlags
	Match    string   `placeholder:"EXPR" help:"Which nodes run the machines of the directories, such as identity('^web') (default: as before, else every node)."`
	Spec     string   `placeholder:"FILE" help:"Publish this list in place of what the channel has: Choria's plugins.json as it is."`
	Envelope string   `placeholder:"FILE" help:"Publish a spec that others have signed, as --prepare wrote it."`
	Dropped  bool     `name:"allow-dropped-states" help:"Publish versions that do not know states of those before; machines in them start again."`
	Older    bool     `name:"allow-older-nodes" help:"Publish versions for which the program of some nodes is too old; those nodes keep the version that they run."`
	Paths    []string `arg:"" optional:"" name:"dir" help:"Folders of machines: each is checked, packed and put beside what the channel has, or in place of its earlier version."`
}

// signingFlags say who signs, for how long, and whether anything is done.
type signingFlags struct {
	Key     []string `placeholder:"FILE" help:"A key to sign with, once for each (default: publisher.key in the folder of --as, overlay.key for the channel overlay)."`
	Expires string   `default:"90d" placeholder:"DURATION" help:"How long nodes take what is published for current; after that they run on and take no change."`
	Serial  uint64   `placeholder:"N" help:"The serial to publish under, where nodes have accepted more than the cell knows of: after it was restored from an older copy."`
	Renew   bool     `help:"Publish again although nothing changes, for another while."`
	DryRun  bool     `help:"Only say what would change."`
	Prepare string   `placeholder:"FILE" help:"Write the signed spec to a file, for others to sign with statecraft sign, in place of publishing it."`
}

// Run publishes.
func (v *publishVerb) Run(inv *invocation) error {
	if err := v.meant(); err != nil {
		return err
	}
	list, envelope, err := v.given(inv)
	if err != nil {
		return err
	}
	packed, err := v.pack(inv)
	if err != nil {
		return err
	}
	s, err := v.open(inv)
	if err != nil {
		return err
	}
	defer s.close()
	p, err := s.base(inv, v.Channel)
	if err != nil {
		return err
	}
	job := &publishing{inv: inv, shelf: s, channel: v.Channel, signing: v.signingFlags, over: p, packed: packed, dropped: v.Dropped, older: v.Older}
	if v.Envelope != "" {
		return job.publish(v.Envelope, envelope)
	}
	job.machines = v.machines(p, list, packed)
	return job.run()
}

// meant refuses what cannot be meant, before anybody is asked.
func (v *publishVerb) meant() error {
	switch {
	case (v.Envelope != "") == (v.Spec != "" || len(v.Paths) > 0 || v.Renew):
		return usage("statecraft publish DIR publishes a machine", "say what to publish: folders of machines, --spec, --renew, or --envelope by itself")
	case v.Envelope != "" && (len(v.Key) > 0 || v.DryRun || v.Prepare != "" || v.Serial != 0 || v.Match != "" || v.Dropped || v.Older):
		return usage("statecraft sign adds signatures; statecraft verify shows what it holds",
			"--envelope publishes what others have signed, as it is: it goes with --as and --channel only")
	case v.Match != "" && len(v.Paths) == 0:
		return usage("entries of a list for --spec have a match of their own", "--match is for the machines of folders, and none is named")
	case v.Envelope != "":
		return nil
	}
	if _, err := watchers.CompileMatch(v.Match); err != nil {
		return usage(matchHint, "--match: %w", err)
	}
	_, err := lifetime(v.Expires)
	return err
}

// matchHint says what a match can be.
const matchHint = "write it of identity(regex), get_fact(path), has_file(path), has_directory(path), has_command(name) and facts, such as identity('^web')"

// given reads the files that are published: a list of machines, or what others have signed.
func (v *publishVerb) given(inv *invocation) (list []registry.Entry, envelope []byte, err error) {
	if v.Envelope != "" {
		if envelope, err = inv.readFile(v.Envelope); err != nil {
			return nil, nil, usage("statecraft publish --prepare writes it", "reading the signed spec: %w", err)
		}
		return nil, bytes.TrimSpace(envelope), nil
	}
	if v.Spec == "" {
		return nil, nil, nil
	}
	text, err := inv.readFile(v.Spec)
	if err != nil {
		return nil, nil, usage("statecraft pack prints the entries of such a list", "reading the list of machines: %w", err)
	}
	if list, err = registry.ChoriaSpec(text); err != nil {
		return nil, nil, fail(exitInvalid, "it is a list of {name, source, checksum, verify, verify_checksum, match, governor}", "%s: %w", v.Spec, err)
	}
	for _, e := range list {
		if err := checkName(v.Channel, e.Name); err != nil {
			return nil, nil, err
		}
	}
	return list, nil, checkMatches(v.Spec, list)
}

// checkMatches refuses expressions that no node could answer: nodes would neither run nor remove such a machine.
func checkMatches(file string, machines []registry.Entry) error {
	var errs []error
	for _, e := range machines {
		if _, err := watchers.CompileMatch(e.Match); err != nil {
			errs = append(errs, fmt.Errorf("%s: machine %q: match: %w", file, e.Name, err))
		}
	}
	if len(errs) > 0 {
		return fail(exitInvalid, matchHint, "%w", errors.Join(errs...))
	}
	return nil
}

// machines is what the channel is to publish, by name.
func (v *publishVerb) machines(p *publication.Published, list []registry.Entry, packed []packedMachine) []registry.Entry {
	machines := list
	if v.Spec == "" && p != nil && p.Spec != nil {
		machines = slices.Clone(p.Spec.Machines)
	}
	for _, m := range packed {
		e := m.entry()
		i := slices.IndexFunc(machines, func(old registry.Entry) bool { return old.Name == e.Name })
		if i < 0 {
			i, machines = len(machines), append(machines, registry.Entry{})
		}
		was := machines[i]
		e.Match, e.Governor, e.Rollout, e.Unknown = cmp.Or(v.Match, was.Match), was.Governor, was.Rollout, was.Unknown
		machines[i] = e
	}
	slices.SortFunc(machines, func(a, b registry.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return machines
}

// overlayKey signs what hosts run, in the folder of who publishes.
const overlayKey = "overlay.key"

// signers reads the keys to sign with for a channel, by default of a folder.
func (f *signingFlags) signers(inv *invocation, folder, channel string) ([]registry.Signer, error) {
	if len(f.Key) == 0 {
		name, role := publisherKey, registry.RoleSpec
		if channel == registry.OverlayChannel {
			name, role = overlayKey, registry.ChannelRole(channel)
		}
		file := filepath.Join(folder, name)
		return inv.readSigners([]string{file}, "--key names another key; statecraft keys new "+file+" makes one, which may sign after "+letSign("KEY", role))
	}
	return inv.readSigners(f.Key, "--key names the file of a key that may sign")
}

// readSigners reads keys to sign with. Missing is the next step where one is not there.
func (inv *invocation) readSigners(files []string, missing string) ([]registry.Signer, error) {
	var signers []registry.Signer
	for _, file := range files {
		k, err := inv.loadKey(file, missing)
		if err != nil {
			return nil, err
		}
		signers = append(signers, k)
	}
	return signers, nil
}

// letSign is the command by which whoever has the cell's root key lets another key sign by a role. CELL is for the reader to fill in.
func letSign(key, role string) string {
	if role != registry.RoleSpec { // which is the default
		key += " --role " + role
	}
	return "statecraft keys rotate --add " + key + " --key CELL/authority/root.key --as CELL/operator"
}

var _ registry.Signer = (*identity.Key)(nil)

// lifetime is how long something that is signed now counts.
func lifetime(text string) (time.Duration, error) {
	d, err := strict.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, usage("write it as 12h, 30d or 1y", "--expires %q is no length of time", text)
	}
	return d.Std(), nil
}
