package main

import (
	"strconv"
	"strings"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/control"
)

// hostVerified is what verify --json prints of a host.
type hostVerified struct {
	Machines []runtime.Running `json:"machines"`
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
	if inv.json {
		return inv.printJSON(hostVerified{Machines: list})
	}
	rows := [][]string{{"MACHINE", "VERSION", "BY"}}
	for _, r := range list {
		rows = append(rows, []string{r.Name, r.Version, byWhom(r.Origin)})
	}
	inv.table(rows)
	return nil
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
