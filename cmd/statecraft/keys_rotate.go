package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// keysRotateVerb makes the next trust root.
type keysRotateVerb struct {
	contextFlags
	Role      string            `default:"spec" help:"Whose keys change: spec (who signs what nodes run), root (who signs trust roots), or spec.CHANNEL (who alone signs for that channel; spec.overlay for the hosts of cells)."`
	Add       []string          `placeholder:"KEY" help:"A public key that is to have the role, once for each."`
	Remove    []string          `placeholder:"KEY" help:"A public key that is not to have it any more, once for each. What it has signed counts no more."`
	Threshold int               `placeholder:"N" help:"How many of them must sign (default: as before)."`
	Serial    map[string]uint64 `placeholder:"CHANNEL=N" help:"Let a channel go on from this serial, where a thief has driven it up."`
	Expires   string            `default:"365d" placeholder:"DURATION" help:"How long the root counts; the next one is to be published before."`
	Key       []string          `placeholder:"FILE" help:"A key of the role root to sign with, once for each. New keys of that role sign as well."`
	Prepare   string            `placeholder:"FILE" help:"Write the root to a file for others to sign with statecraft sign, in place of publishing it."`
	Envelope  string            `placeholder:"FILE" help:"Publish a root that others have signed, as --prepare wrote it."`
}

// rotateResult is what keys rotate --json prints.
type rotateResult struct {
	Version uint64                   `json:"version"`
	Expires time.Time                `json:"expires"`
	Roles   map[string]registry.Role `json:"roles"`
	// PassedOver names the keys, roles and extensions that this release does not know, and keeps as they are.
	PassedOver []string `json:"passed_over,omitempty"`
	Prepared   string   `json:"prepared,omitempty"` // the file that others are to sign
}

// Run publishes the root, or writes it for others.
func (v *keysRotateVerb) Run(inv *invocation) error {
	given, err := v.given(inv)
	if err != nil {
		return err
	}
	s, err := v.open(inv)
	if err != nil {
		return err
	}
	defer s.close()
	envelope, root, err := given.next(s)
	if err != nil {
		return err
	}
	if v.Prepare != "" {
		if err := renameio.WriteFile(v.Prepare, append(envelope, '\n'), 0o644); err != nil {
			return fail(exitFailed, "", "writing the root: %w", err)
		}
		inv.notef("others sign it:  statecraft sign --key FILE %s", v.Prepare)
		inv.notef("then:            statecraft keys rotate --envelope %s", v.Prepare)
		return v.tell(inv, root, v.Prepare)
	}
	ctx, cancel := s.patience()
	defer cancel()
	if root, err = s.PublishRoot(ctx, envelope); err != nil {
		return s.problem("publishing the trust root", err)
	}
	return v.tell(inv, root, "")
}

// rotation is what is to be done.
type rotation struct {
	envelope []byte // what others have signed; otherwise nil, and a change that the signers sign
	change   registry.RootChange
	signers  []registry.Signer
}

// given reads what is to be done, and refuses what cannot be meant, before anybody is asked.
func (v *keysRotateVerb) given(inv *invocation) (*rotation, error) {
	changes := len(v.Add)+len(v.Remove)+len(v.Serial) > 0 || v.Threshold != 0
	switch {
	case (v.Envelope == "") == (len(v.Key) == 0):
		return nil, usage("a root is signed with the keys of the role root, such as cell/authority/root.key", "give keys to sign with, or --envelope by itself")
	case v.Envelope != "" && (changes || v.Prepare != ""):
		return nil, usage("statecraft sign adds signatures", "--envelope publishes what others have signed, as it is: it goes with --as only")
	case v.Envelope != "":
		envelope, err := inv.readFile(v.Envelope)
		if err != nil {
			return nil, usage("statecraft keys rotate --prepare writes it", "reading the signed root: %w", err)
		}
		return &rotation{envelope: bytes.TrimSpace(envelope)}, nil
	}
	if err := registry.CheckRole(v.Role); err != nil {
		return nil, usage("statecraft keys rotate --help says more", "--role: %w", err)
	}
	counts, err := lifetime(v.Expires)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	r := &rotation{change: registry.RootChange{Role: v.Role, Threshold: v.Threshold, Serials: v.Serial, Issued: now, Expires: now.Add(counts)}}
	if r.change.Add, err = publicKeys("--add", v.Add); err != nil {
		return nil, err
	}
	if r.change.Remove, err = publicKeys("--remove", v.Remove); err != nil {
		return nil, err
	}
	r.signers, err = inv.readSigners(v.Key, "a root is signed with the keys of the role root, such as CELL/authority/root.key")
	return r, err
}

// next is the root to publish; what others have signed is not read before it is verified.
func (r *rotation) next(s *shelf) ([]byte, *registry.Root, error) {
	if r.envelope != nil {
		return r.envelope, nil, nil
	}
	present, err := s.Root()
	if err != nil {
		return nil, nil, err
	}
	if present == nil {
		return nil, nil, refused("making a trust root", &registry.Refusal{Reason: registry.NoRoot, Detail: "the cell has none yet, and the folder of --as has not the first one"})
	}
	root, err := present.Next(r.change)
	if err != nil {
		return nil, nil, usage("statecraft keys rotate --json prints who has which role", "the next trust root cannot be like this: %w", err)
	}
	envelope, err := registry.Sign(root, r.signers...)
	return envelope, root, err
}

func publicKeys(flag string, given []string) ([]identity.PublicKey, error) {
	var keys []identity.PublicKey
	for _, text := range given {
		k, err := parsePublicKey(flag, text)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (v *keysRotateVerb) tell(inv *invocation, root *registry.Root, prepared string) error {
	if inv.json {
		return inv.printJSON(rotateResult{Version: root.Version, Expires: root.Expires, Roles: root.Roles, PassedOver: root.PassedOver(), Prepared: prepared})
	}
	rows := [][]string{{"version", strconv.FormatUint(root.Version, 10)}, {"expires", instant(root.Expires)}}
	for _, name := range slices.Sorted(maps.Keys(root.Roles)) {
		role := root.Roles[name]
		text := fmt.Sprintf("%d of %s", role.Threshold, strings.Join(names(role.Keys), ", "))
		if len(role.Requires) > 0 {
			text += "; requires " + strings.Join(role.Requires, ", ")
		}
		rows = append(rows, []string{name, text})
	}
	if kept := root.PassedOver(); len(kept) > 0 {
		rows = append(rows, []string{"passed over", strings.Join(kept, ", ")})
	}
	inv.table(rows)
	return nil
}
