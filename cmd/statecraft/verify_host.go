package main

import (
	"strconv"
	"strings"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/control"
)

// hostVerified is what verify --json prints of a host.
type hostVerified struct {
	Machines []verifiedMachine `json:"machines"`
}

// verifiedMachine is a machine that a host runs, and what was found where its folder is signed.
type verifiedMachine struct {
	runtime.Running
	Fault   string `json:"fault,omitempty"`   // why the copy that it runs from is not as it was signed
	Differs string `json:"differs,omitempty"` // how the folder that was copied differs from it now
}

// verified holds the copy that a machine runs from, and the folder that was copied, against the checksum file that was signed.
func verified(r runtime.Running) verifiedMachine {
	m := verifiedMachine{Running: r}
	if r.Origin.Kind != runtime.OriginSigned {
		return m
	}
	if err := registry.Verify(r.Directory, registry.SumsFile, r.Origin.Sums); err != nil {
		m.Fault = err.Error()
	}
	if err := registry.Verify(r.Origin.Folder, registry.SumsFile, r.Origin.Sums); err != nil {
		m.Differs = err.Error()
	}
	return m
}

// running says what a running host runs, and by whose word.
func (v *verifyVerb) running(inv *invocation) error {
	dir, err := v.host()
	if err != nil {
		return err
	}
	client := control.NewClient(dir)
	defer client.Close()
	list, err := client.Running(inv.ctx)
	if err != nil {
		return hostError(err, dir)
	}
	all, faulty := hostVerified{Machines: []verifiedMachine{}}, []string(nil)
	for _, r := range list {
		m := verified(r)
		if all.Machines = append(all.Machines, m); m.Fault != "" {
			faulty = append(faulty, m.Name)
		}
	}
	if inv.json {
		err = inv.printJSON(all)
	} else {
		inv.printVerified(all.Machines)
	}
	if err == nil && len(faulty) > 0 {
		err = fail(exitRefused, "look who has written there, and start the host again: it copies the signed folder anew",
			"what it runs from is not as it was signed: %s", strings.Join(faulty, ", "))
	}
	return err
}

func (inv *invocation) printVerified(machines []verifiedMachine) {
	rows := [][]string{{"MACHINE", "VERSION", "BY"}}
	for _, m := range machines {
		rows = append(rows, []string{m.Name, m.Version, byWhom(m.Origin)})
	}
	inv.table(rows)
	for _, m := range machines {
		if m.Fault != "" {
			inv.printf("%s runs from %s: %s\n", printable(m.Name), printable(m.Directory), printable(m.Fault))
		}
		if m.Differs != "" {
			inv.printf("%s goes on as it was signed; its folder %s is another now: %s\n", printable(m.Name), printable(m.Origin.Folder), printable(m.Differs))
		}
	}
}

// byWhom says by whose word a machine runs.
func byWhom(o runtime.Origin) string {
	keys := strings.Join(o.Signers, ", ")
	switch {
	case o.Kind == runtime.OriginBuiltIn:
		return "built in, version " + orDash(o.Release)
	case o.Kind == runtime.OriginPublished && o.Serial == 0:
		return "published in channel " + o.Channel + ", and not in its present list"
	case o.Kind == runtime.OriginPublished:
		return "published in channel " + o.Channel + ", serial " + strconv.FormatUint(o.Serial, 10) + ", signed by " + keys
	case o.Kind == runtime.OriginSigned:
		return "folder signed by " + keys
	case o.Kind == runtime.OriginUnsigned:
		return "nobody: --allow-unsigned"
	default:
		return "-"
	}
}

// signed holds a folder against the signature beside it. It asks nobody.
func (v *verifyVerb) signed(inv *invocation) error {
	keys, err := publicKeys("--signed-by", v.SignedBy)
	if err != nil {
		return err
	}
	s, err := verifySigned(v.Path, keys)
	if err != nil {
		return err
	}
	r := folderResult(v.Path, s)
	if inv.json {
		return inv.printJSON(verifyResult{Path: v.Path, Machine: r.Machine, Version: r.Version, Expires: r.Expires, Signers: r.Signers})
	}
	inv.printf("%s is %s %s as signed by %s, until %s\n", v.Path, r.Machine, r.Version, strings.Join(r.Signers, ", "), instant(r.Expires))
	return nil
}
