// Package evidence makes what a host recorded provable to others: heads of its journal, signed with the node's key, and what holds a journal
// or an exported trace against them. It keeps nothing and sends nothing: a watcher asks for heads, and a machine publishes them.
package evidence

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

const (
	// Protocol is that of heads.
	Protocol = "io.statecraft.journal.head.v1"
	// PayloadType is what a signature covers beside the head, so that no other document passes for one.
	PayloadType = "application/vnd.statecraft.journal-head+json"
	// MaxHead bounds a signed head, in bytes; it has some 750.
	MaxHead = 4 << 10
)

// Head is what a host says of its journal.
type Head struct {
	Protocol string    `json:"protocol"`
	Identity string    `json:"identity"` // whose journal it is
	At       time.Time `json:"at"`       // by the host's clock
	journal.Head
	// Machines is the SHA-256 of the leaves of all machines, one after another in the order of their names: where each one's records had come to.
	Machines string `json:"machines"`
}

// Signed is a head with its signature, which was found to be good.
type Signed struct {
	Head
	Key      identity.PublicKey // who signed it
	Envelope []byte             // DSSE, as JSON
	Stored   time.Time          // when the cell's stream took it, by the clock of a host; zero where that is not known
}

// Signer signs: *identity.Key.
type Signer interface {
	Public() identity.PublicKey
	Sign(message []byte) []byte
}

// Journal is one that is open: *journal.Journal.
type Journal interface {
	Head(ctx context.Context, f func(journal.Entry) error) (journal.Head, error)
}

// Sign makes the head of a journal that is open.
func Sign(ctx context.Context, j Journal, id string, at time.Time, key Signer) (Signed, error) {
	m := machines{}
	head, err := j.Head(ctx, m.take)
	if err != nil {
		return Signed{}, fmt.Errorf("reading the head of the journal: %w", err)
	}
	h := Head{Protocol: Protocol, Identity: id, At: at.UTC().Truncate(time.Second), Head: head, Machines: digest(m.leaves())}
	payload, err := json.Marshal(h)
	if err != nil {
		return Signed{}, fmt.Errorf("writing the head of the journal: %w", err)
	}
	e := dsse.Envelope{PayloadType: PayloadType, Payload: base64.StdEncoding.EncodeToString(payload), Signatures: []dsse.Signature{{
		KeyID: key.Public().String(), Sig: base64.StdEncoding.EncodeToString(key.Sign(dsse.PAE(PayloadType, payload))),
	}}}
	text, err := json.Marshal(e)
	return Signed{Head: h, Key: key.Public(), Envelope: text}, err
}

// ErrNoHead is the cause where a text is no signed head, or its signature is not good.
var ErrNoHead = errors.New("this is no signed head of a journal")

// Open reads a signed head and checks its signature. Whose key it is, the caller decides. Errors are ErrNoHead.
func Open(envelope []byte) (s Signed, err error) {
	var e dsse.Envelope
	if len(envelope) > MaxHead {
		return s, fmt.Errorf("%w: it has %d bytes, %d are the most", ErrNoHead, len(envelope), MaxHead)
	}
	if err := json.Unmarshal(envelope, &e); err != nil {
		return s, fmt.Errorf("%w: %w", ErrNoHead, err)
	}
	if e.PayloadType != PayloadType || len(e.Signatures) != 1 {
		return s, fmt.Errorf("%w: its type is %q, and it has %d signatures", ErrNoHead, e.PayloadType, len(e.Signatures))
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(e.Payload)
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrNoHead, err)
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(e.Signatures[0].Sig)
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrNoHead, err)
	}
	if s.Key, err = identity.ParsePublicKey(e.Signatures[0].KeyID); err != nil {
		return s, fmt.Errorf("%w: %w", ErrNoHead, err)
	}
	if !s.Key.Verify(dsse.PAE(PayloadType, payload), sig) {
		return s, fmt.Errorf("%w: its signature is not of the key %s", ErrNoHead, s.Key)
	}
	if err := json.Unmarshal(payload, &s.Head); err != nil {
		return s, fmt.Errorf("%w: %w", ErrNoHead, err)
	}
	if s.Protocol != Protocol {
		return s, fmt.Errorf("%w: its protocol is %q, not %q", ErrNoHead, s.Protocol, Protocol)
	}
	if s.Size <= 0 {
		return s, fmt.Errorf("%w: it is of %d bytes of a journal", ErrNoHead, s.Size)
	}
	s.Envelope = slices.Clone(envelope)
	return s, nil
}

// machines is where the records of each machine had come to, by the key that the journal has for it.
type machines map[string]standing

type standing struct {
	seq    uint64
	digest string // of the last record, in hexadecimal digits
}

// take takes an entry of the journal.
func (m machines) take(e journal.Entry) error {
	if e.Kind == journal.KindCheckpoint {
		var entry struct {
			Snapshot struct {
				Seq  uint64 `json:"seq"`
				Head string `json:"head"`
			} `json:"snapshot"`
		}
		if err := json.Unmarshal(e.Data, &entry); err != nil {
			return fmt.Errorf("reading the checkpoint of machine %q: %w", e.Key, err)
		}
		m[e.Key] = standing{entry.Snapshot.Seq, entry.Snapshot.Head}
		return nil
	}
	var r struct {
		Seq uint64 `json:"seq"`
	}
	if err := json.Unmarshal(e.Data, &r); err != nil {
		return fmt.Errorf("reading a record of machine %q: %w", e.Key, err)
	}
	m[e.Key] = standing{r.Seq, machine.HashRecord(e.Data)}
	return nil
}

// leaves are the leaves of the machines, in the order of their names.
func (m machines) leaves() []string {
	all := make([]string, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, leaf(name, m[name].seq, m[name].digest))
	}
	return all
}

// leaf tells nothing of a machine to who does not know its last record.
func leaf(name string, seq uint64, digest string) string {
	b := binary.BigEndian.AppendUint64([]byte(name+"\x00"), seq)
	sum := sha256.Sum256(append(b, digest...))
	return hex.EncodeToString(sum[:])
}

func digest(leaves []string) string {
	sum := sha256.New()
	for _, l := range leaves {
		sum.Write([]byte(l))
	}
	return hex.EncodeToString(sum.Sum(nil))
}
