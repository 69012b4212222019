package inventory

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

// maxUnpacked bounds an inventory, in bytes of JSON: what a node sends is 64 KiB at most, and compresses by less than that.
const maxUnpacked = 1 << 20

// Why a message is not taken. The texts are counted, and so are few.
var (
	errNoNode     = errors.New("the subject names no node")
	errNoOutput   = errors.New("no document of an adapter")
	errSender     = errors.New("the sender is another than the subject's")
	errNoDocument = errors.New("no registration document")
	errUnpacking  = errors.New("the content cannot be unpacked")
	errUnpacked   = errors.New("the content is larger than 1 MiB")
	errNoJSON     = errors.New("the content is no JSON object, or nested too deep or too wide")
)

// unpacker reads what adapters write. One goroutine uses it.
type unpacker struct {
	gzip gzip.Reader
	text bytes.Buffer
}

// nodeOf is who a subject is about.
func nodeOf(subject string) (string, error) {
	id, err := identity.FromToken(subject[strings.LastIndexByte(subject, '.')+1:])
	if err != nil {
		return "", errNoNode
	}
	return string(id), nil
}

// inventory is the inventory's JSON of an adapter's document about a node.
func (u *unpacker) inventory(node string, data []byte) (*watchers.Document, error) {
	var out struct {
		Protocol, Data, Sender string
	}
	protocols := []string{"choria:adapters:choria_streams:output:1", "choria:adapters:jetstream:output:1"}
	if err := json.Unmarshal(data, &out); err != nil || !slices.Contains(protocols, out.Protocol) {
		return nil, errNoOutput
	}
	if out.Sender != node {
		return nil, errSender
	}
	var doc struct {
		Protocol string
		ZContent string
		Content  json.RawMessage
	}
	if err := json.Unmarshal([]byte(out.Data), &doc); err != nil || doc.Protocol != protocol {
		return nil, errNoDocument
	}
	raw := []byte(doc.Content)
	if doc.ZContent != "" {
		var err error
		if raw, err = u.unpack(doc.ZContent); err != nil {
			return nil, err
		}
	}
	read, err := watchers.ReadDocument(raw)
	if err != nil {
		return nil, errNoJSON
	}
	return read, nil
}

// unpack undoes base64 and gzip. What it returns is good until the next.
func (u *unpacker) unpack(text string) ([]byte, error) {
	if err := u.gzip.Reset(base64.NewDecoder(base64.StdEncoding, strings.NewReader(text))); err != nil {
		return nil, errUnpacking
	}
	u.text.Reset()
	n, err := u.text.ReadFrom(io.LimitReader(&u.gzip, maxUnpacked+1))
	switch {
	case err != nil:
		return nil, errUnpacking
	case n > maxUnpacked:
		return nil, errUnpacked
	}
	return u.text.Bytes(), nil
}
