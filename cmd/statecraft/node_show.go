package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// The folders of a node's state: where its agent keeps who it is and, below that, files for other programs.
const (
	nodeIdentityDir = "identity"
	nodeStateDir    = "state"
	nodeFilesDir    = "given"
)

// nodeShowVerb prints what a node was assigned.
type nodeShowVerb struct {
	stateFlags
}

// nodeShown is a node as it knows itself.
type nodeShown struct {
	PublicKey string     `json:"public_key"` // 64 hexadecimal digits
	Identity  string     `json:"identity,omitempty"`
	Cell      string     `json:"cell,omitempty"`
	URLs      []string   `json:"urls,omitempty"`     // of the cell's brokers
	TokenID   string     `json:"token_id,omitempty"` // of the node's token
	Expires   *time.Time `json:"expires,omitempty"`  // when the token ends
	OnTrial   bool       `json:"on_trial"`           // the cell has not confirmed the assignment yet
	Upgrade   string     `json:"upgrade,omitempty"`  // the version that the overlay wants this node to run
	Message   string     `json:"message,omitempty"`  // what who decided on the node has to say
	Files     string     `json:"files,omitempty"`    // where the certificate and the policies are, for other programs
}

// Run reads the node's folder; the agent may run or not.
func (v *nodeShowVerb) Run(inv *invocation) error {
	dir, err := v.dir()
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, nodeIdentityDir)
	if outer := filepath.Dir(dir); !isFolder(folder) && filepath.Base(dir) == nodeStateDir && isFolder(filepath.Join(outer, nodeIdentityDir)) {
		folder = filepath.Join(outer, nodeIdentityDir) // the folder of its machines was named, as other verbs take it
	}
	if _, err := os.Stat(folder); err != nil {
		return fail(exitFailed, "statecraft node run --join FILE makes a node of this host; --state names another folder", "reading the node's identity: %w", err)
	}
	now := identity.ViewStore(folder).Standing()
	if errors.Is(now.ActiveErr, identity.ErrDamaged) { // or replaced in this moment
		now = identity.ViewStore(folder).Standing()
	}
	if now.KeyErr != nil {
		return nodeDamage(now.KeyErr)
	}
	if now.ActiveErr != nil && !errors.Is(now.ActiveErr, identity.ErrNothing) {
		return nodeDamage(now.ActiveErr)
	}
	n := asShown(now, folder)
	if inv.json {
		return inv.printJSON(n)
	}
	inv.ownNode(n)
	return nil
}

// nodeDamage says what becomes of a node whose identity cannot be read.
func nodeDamage(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fail(exitFailed, "run the command as the user that the node runs as, or as root", "%w", err)
	}
	return fail(exitInvalid, "a running node enrolls again by itself; statecraft why enrollment says what it is doing", "%w", err)
}

func asShown(now identity.Standing, folder string) nodeShown {
	n := nodeShown{PublicKey: now.Key.Public().String(), OnTrial: now.Pending}
	a := now.Active
	if a == nil {
		return n
	}
	n.Identity, n.Cell, n.URLs, n.Upgrade, n.Message = string(a.Identity), a.Cell, a.URLs, a.Upgrade, a.Message
	if c, err := identity.Inspect(a.Token); err == nil {
		n.TokenID, n.Expires = c.ID, &c.Expires
	}
	if files := filepath.Join(folder, nodeFilesDir); isFolder(files) {
		n.Files = files
	}
	return n
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// ownNode prints what this node knows of itself.
func (inv *invocation) ownNode(n nodeShown) {
	rows := [][]string{{"public key", n.PublicKey}}
	if n.Identity == "" {
		inv.table(rows)
		inv.notef("the node belongs to no overlay yet; statecraft states enrollment --state DIR says what it waits for")
		return
	}
	ends := time.Time{}
	if n.Expires != nil {
		ends = *n.Expires
	}
	rows = append(rows, [][]string{
		{"node", n.Identity}, {"cell", n.Cell}, {"brokers", strings.Join(n.URLs, ", ")}, {"token", orDash(n.TokenID)}, {"token ends", instant(ends)},
		{"upgrade", orDash(n.Upgrade)}, {"message", orDash(n.Message)}, {"files", orDash(n.Files)},
	}...)
	inv.table(rows)
	if n.OnTrial {
		inv.notef("the cell has not confirmed this yet; where it does not, the node goes back to what it had")
	}
}
