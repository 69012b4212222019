package main

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// verifyVerb holds a signed spec against the trust root, or a deployed folder against what is published.
type verifyVerb struct {
	shelfFlags
	stateFlags
	SignedBy []string `placeholder:"KEY" help:"Hold a folder against the signature beside it, by these public keys, in place of what is published."`
	Path     string   `arg:"" optional:"" help:"A signed spec, or the folder of a machine. Without it, what the host of --state runs, and by whose word."`
}

// verifyResult is what verify --json prints.
type verifyResult struct {
	Path    string      `json:"path"`
	Spec    *specResult `json:"spec,omitempty"`    // of a signed spec
	Refused string      `json:"refused,omitempty"` // why the spec does not count: others are still to sign it
	Machine string      `json:"machine,omitempty"` // of a folder
	Version string      `json:"version,omitempty"`
	Expires time.Time   `json:"expires,omitzero"` // of a folder by --signed-by
	Signers []string    `json:"signers,omitempty"`
}

// Run fails with the reason where something is not as it was signed.
func (v *verifyVerb) Run(inv *invocation) error {
	switch {
	case v.Path == "":
		return v.running(inv)
	case v.State != "":
		return usage("leave the path out to ask a host what it runs", "--state is for the host that is asked, and a path for what is verified: give one of them")
	}
	info, err := os.Stat(v.Path)
	if err != nil {
		return usage("name a signed spec or a machine's folder", "verifying: %w", err)
	}
	if info.IsDir() && len(v.SignedBy) > 0 {
		return v.signed(inv)
	}
	if info.IsDir() {
		return v.directory(inv)
	}
	return v.envelope(inv)
}

// envelope verifies a spec by what the folder of --as trusts. It asks nobody.
func (v *verifyVerb) envelope(inv *invocation) error {
	data, err := inv.readFile(v.Path)
	if err != nil {
		return usage("", "reading the signed spec: %w", err)
	}
	folder, err := v.folder()
	if err != nil {
		return err
	}
	if _, err := os.Stat(folder); err != nil {
		return usage("name a client's folder with --as or STATECRAFT_CONTEXT, such as operator/ of a cell", "verifying: %w", err)
	}
	trust, err := overlay.OpenTrust(folder, time.Now())
	if err != nil {
		return fail(exitFailed, "", "opening what %s trusts: %w", folder, err)
	}
	root, err := trust.Root()
	if err != nil {
		return fail(exitFailed, "", "reading the trust root: %w", err)
	}
	return v.show(inv, bytes.TrimSpace(data), root)
}

// show prints a spec that is signed, and one that is proposed, which others are still to sign and want to see before: that ends with the refusal.
func (v *verifyVerb) show(inv *invocation, data []byte, root *registry.Root) error {
	spec, err := registry.ReadSpec(data, root)
	refusal, ok := errors.AsType[*registry.Refusal](err)
	result := verifyResult{Path: v.Path}
	if ok {
		err = refused(v.Path, refusal)
	}
	if ok && refusal.Reason == registry.Unsigned {
		if proposed, unread := registry.ReadProposed(data, root); unread == nil {
			spec, result.Refused = proposed, refusal.Error()
		}
	}
	if spec == nil {
		return err
	}
	shown, unread := showSpec(spec, data)
	if unread != nil {
		return unread
	}
	result.Spec = shown
	if inv.json {
		return cmp.Or(inv.printJSON(result), err)
	}
	inv.spec(shown)
	return err
}

// directory holds every file of a folder against the channel's entry of its machine.
func (v *verifyVerb) directory(inv *invocation) error {
	dir, err := filepath.EvalSymlinks(v.Path)
	if err != nil {
		return usage("", "verifying: %w", err)
	}
	d, err := inv.oneMachine(dir)
	if err != nil {
		return err
	}
	s, err := v.look(inv)
	if err != nil {
		return err
	}
	defer s.close()
	p, err := s.published(v.Channel)
	if err != nil {
		return err
	}
	for _, e := range p.Spec.Machines {
		if e.Name != d.Manifest.Name {
			continue
		}
		if err := registry.Verify(dir, e.Verify, e.VerifyChecksum); err != nil {
			return fail(exitRefused, "nodes deploy it again by themselves; elsewhere publish or fetch it anew", "%s is not %s as published: %w", v.Path, labelled(e), err)
		}
		if inv.json {
			return inv.printJSON(verifyResult{Path: v.Path, Machine: e.Name, Version: e.Version})
		}
		inv.printf("%s is %s as published\n", v.Path, labelled(e))
		return nil
	}
	return fail(exitFailed, "statecraft registry show lists what it publishes", "channel %s does not publish %s", v.Channel, d.Manifest.Name)
}
