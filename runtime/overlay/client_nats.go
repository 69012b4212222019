package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// The files of a client's folder for other programs than this one.
const (
	natsContextFile = "nats.json" // a context of the nats command line
	natsSeedFile    = "client.nk" // the client's key in the form of NATS
	natsCAFile      = "ca.pem"
)

// natsContext is a context as the nats command line reads it (natscontext of jsm.go).
type natsContext struct {
	Description string `json:"description"`
	URL         string `json:"url"`
	Token       string `json:"token"`
	NKey        string `json:"nkey"` // a file
	CA          string `json:"ca"`   // a file
	InboxPrefix string `json:"inbox_prefix"`
	APIPrefix   string `json:"jetstream_api_prefix,omitempty"`
}

// SaveNATS writes beside context.json what any other client of NATS logs in with: the key as client.nk, where it is given, the authority as ca.pem, and
// nats.json for the nats command line. Holder is the client's public key, and anchor the root key of
// the cell, which becomes the file roots. All is for its owner only. It returns the files.
func (c *Client) SaveNATS(dir string, holder identity.PublicKey, key *identity.Key, anchor string) ([]string, error) {
	claims, err := identity.Inspect(c.Token)
	if err != nil {
		return nil, fmt.Errorf("the client's token: %w", err)
	}
	at, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("writing what clients of NATS read: %w", err)
	}
	n := natsContext{
		Description: claims.Subject + " in cell " + c.Cell, URL: strings.Join(c.URLs, ","), Token: c.Token,
		NKey: filepath.Join(at, natsSeedFile), CA: filepath.Join(at, natsCAFile), InboxPrefix: broker.InboxPrefix(claims, holder),
	}
	if claims.Permissions[broker.RightEventsRead] {
		n.APIPrefix = broker.ServiceSubject(holder.NKey(), broker.ConsumersService)
	}
	text, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return nil, err
	}
	var files []string
	if key != nil {
		files = append(files, filepath.Join(dir, natsSeedFile))
		if err := key.SaveNATS(files[0]); err != nil {
			return nil, err
		}
	}
	for _, f := range []struct{ name, text string }{{natsCAFile, c.CA}, {natsContextFile, string(text) + "\n"}} {
		file := filepath.Join(dir, f.name)
		if err := identity.WriteFile(file, []byte(f.text)); err != nil {
			return nil, fmt.Errorf("writing what clients of NATS read: %w", err)
		}
		files = append(files, file)
	}
	roots := filepath.Join(dir, AnchorsFile)
	if _, err := os.Lstat(roots); !errors.Is(err, fs.ErrNotExist) {
		return files, nil // it may know more than one
	}
	if err := identity.WriteFile(roots, []byte(anchor+"\n")); err != nil {
		return nil, fmt.Errorf("writing the cell's root key: %w", err)
	}
	return append(files, roots), nil
}

// NATSContext is the context of a client's folder for the nats command line.
func NATSContext(dir string) string { return filepath.Join(dir, natsContextFile) }
