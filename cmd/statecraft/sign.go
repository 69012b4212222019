package main

import (
	"bytes"
	"os"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/statecraft-io/statecraft/registry"
)

// signVerb adds signatures to a spec or a trust root that several must sign.
type signVerb struct {
	Key     []string `required:"" placeholder:"FILE" help:"A key to sign with, once for each."`
	Output  string   `placeholder:"FILE" help:"Write the result here (default: in place of what is signed)."`
	Expires string   `default:"365d" placeholder:"DURATION" help:"How long the signature of a folder counts; after that nothing starts by it."`
	File    string   `arg:"" help:"A spec that statecraft publish --prepare wrote, a root that statecraft keys rotate --prepare wrote, or the folder of a machine, or of several, for run and node run."`
}

// signResult is what sign --json prints.
type signResult struct {
	File    string   `json:"file"`
	Signers []string `json:"signers"` // all who have signed by now
	// PassedOver names the keys, roles and extensions that this release does not know.
	PassedOver []string `json:"passed_over,omitempty"`
}

// Run signs what the envelope holds, as it is.
func (v *signVerb) Run(inv *invocation) error {
	if info, err := os.Stat(v.File); err == nil && info.IsDir() {
		return v.folders(inv)
	}
	envelope, err := inv.readFile(v.File)
	if err != nil {
		return usage("statecraft publish --prepare writes what there is to sign", "reading what is to be signed: %w", err)
	}
	signers, err := (&signingFlags{Key: v.Key}).signers(inv, "", "")
	if err != nil {
		return err
	}
	if envelope, err = registry.Cosign(bytes.TrimSpace(envelope), signers...); err != nil {
		return fail(exitInvalid, "statecraft publish --prepare and statecraft keys rotate --prepare write what can be signed", "%s: %w", v.File, err)
	}
	all, err := registry.Signers(envelope)
	if err != nil {
		return err
	}
	if v.Output == "" {
		v.Output = v.File
	}
	if err := renameio.WriteFile(v.Output, append(envelope, '\n'), 0o644); err != nil {
		return fail(exitFailed, "", "writing the signatures: %w", err)
	}
	passed, err := registry.PassedOver(envelope)
	if err != nil {
		return err
	}
	if len(passed) > 0 {
		inv.notef("what you have signed also has %s, which this release does not know and passes over", strings.Join(passed, ", "))
	}
	r := signResult{File: v.Output, Signers: names(all), PassedOver: passed}
	if inv.json {
		return inv.printJSON(r)
	}
	for _, key := range r.Signers {
		inv.printf("signed by %s\n", key)
	}
	return nil
}
