// Package keyvalue holds the watchers over JetStream's streams and key-value buckets: kv reads and writes keys, streams keeps
// streams, buckets and object stores as declared, usage tells how full they are, brokers tells who keeps them, election and governor hold leases. It opens no
// connection, knows no bucket by name but through properties, and never makes a consumer where a direct read does.
package keyvalue

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

// Connections finds open connections by who uses them and their name. *messaging.Pool is one.
type Connections interface {
	// Conn returns the open connection of a name, or an error where there is none at the moment.
	Conn(id, name string) (*nats.Conn, error)
	// Wait returns the connection of a name as soon as it is connected, or an error when ctx has ended.
	Wait(ctx context.Context, id, name string) (*nats.Conn, error)
}

// The codes of what the properties can have wrong.
const (
	CodeMissing    diag.Code = "SC380" // a property that the mode needs is not there
	CodeName       diag.Code = "SC381" // a name, key or subject that NATS does not take
	CodeDeclared   diag.Code = "SC382" // nothing is declared, or one thing twice
	CodeSize       diag.Code = "SC383" // a size that cannot be read
	CodeReplicas   diag.Code = "SC384" // replicas that cannot be
	CodeOutOfPlace diag.Code = "SC385" // a property that says nothing in this mode
)

// Types returns the types kv, streams, usage, brokers, election and governor. c may be nil: their looks then fail and say so.
func Types(c Connections) []watchers.Type {
	if v := reflect.ValueOf(c); v.Kind() == reflect.Pointer && v.IsNil() {
		c = none{} // a nil *messaging.Pool is no nil interface
	}
	if c == nil {
		c = none{}
	}
	return []watchers.Type{kvType(c), streamsType(c), usageType(c), brokersType(c), electionType(c), governorType(c)}
}

// none has no connections.
type none struct{}

var errNoConnections = errors.New("this program has no connections to brokers; run the machine with node run or overlay run")

func (none) Conn(string, string) (*nats.Conn, error) { return nil, errNoConnections }

func (none) Wait(context.Context, string, string) (*nats.Conn, error) {
	return nil, errNoConnections
}

// connect returns the connection for one look.
func connect(c Connections, look *watchers.Look, name string) (*nats.Conn, error) {
	nc, err := c.Conn(look.Identity, name)
	switch {
	case errors.Is(err, errNoConnections):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("using the connection %s: %w; a connection watcher in this state keeps it open", name, err)
	}
	return nc, nil
}

// The forms of names, as NATS has them (ADR-6 and ADR-8).
var (
	bucketForm  = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	keyForm     = regexp.MustCompile(`^[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*$`)
	patternForm = regexp.MustCompile(`^((\*|[-/_=a-zA-Z0-9]+)\.)*(\*|>|[-/_=a-zA-Z0-9]+)$`)
)

// maxKey bounds a key, in bytes: with its bucket it is a subject, and part of others.
const maxKey = 512

// place is where a property stands, or the properties where it is not written.
func place(w *machine.WatcherSpec, key string) diag.Position {
	if n := w.Properties.Get(key); n != nil {
		return n.Pos
	}
	return w.Place("properties")
}

func checkBucket(w *machine.WatcherSpec, bucket string, list *diag.List) {
	if !bucketForm.MatchString(bucket) {
		list.Add(diag.Error, CodeName, place(w, "bucket"), "write letters, digits, - and _", "bucket: %q is not the name of a bucket", bucket)
	}
}

// expandKey fills in a text that is to give a key without wildcards.
func expandKey(look *watchers.Look, what string, text watchers.Text) (string, error) {
	key, err := look.Expand(text)
	if err != nil {
		return "", err
	}
	if len(key) > maxKey || !keyForm.MatchString(key) {
		return "", fmt.Errorf("%s %q is not a key; keys are at most %d letters, digits, -, _, = and / in parts that a dot separates", what, diag.Brief(key, 200), maxKey)
	}
	return key, nil
}

// expandPattern fills in a text that is to give a key, which may have wildcards: * for a part, > for the rest.
func expandPattern(look *watchers.Look, what string, text watchers.Text) (string, error) {
	pattern, err := look.Expand(text)
	if err != nil {
		return "", err
	}
	if len(pattern) > maxKey || !patternForm.MatchString(pattern) {
		return "", fmt.Errorf("%s %q is not a pattern of keys; write keys with * for a part, or > for the rest", what, diag.Brief(pattern, 200))
	}
	return pattern, nil
}

// failed makes the report of an error.
func failed(err error) watchers.Report { return watchers.Failed(err) }
