package registry

import (
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// CONTRACT ONLY: bodies come from the owner of the trust part, in files of one idea each; this file then goes away.

// The types of documents.
const (
	RootType = "statecraft.root.v1"
	SpecType = "statecraft.spec.v1"
)

// The roles of a trust root.
const (
	RoleRoot = "root" // signs the next root
	RoleSpec = "spec" // signs specs
)

// Root names keys, roles and thresholds. A new root is signed by the old one's root role and by its own.
type Root struct {
	Type    string          `json:"type"`
	Version uint64          `json:"version"` // 1, 2, ...
	Issued  time.Time       `json:"issued"`
	Expires time.Time       `json:"expires"`
	Roles   map[string]Role `json:"roles"`
	// Serials are what channels go on from where a root newer than the one that a spec was accepted under says so: the way back
	// from a serial that a thief has driven up.
	Serials map[string]uint64 `json:"serials,omitempty"`
}

// Role is who may sign something, and how many of them must.
type Role struct {
	Keys      []identity.PublicKey `json:"keys"`
	Threshold int                  `json:"threshold"`
}

// Spec is the signed list of what should run.
type Spec struct {
	Type     string    `json:"type"`
	Channel  string    `json:"channel"`            // KV key spec.<channel>
	Audience string    `json:"audience,omitempty"` // the cell; "" is every cell that trusts the root
	Serial   uint64    `json:"serial"`
	Issued   time.Time `json:"issued"`
	Expires  time.Time `json:"expires"`
	Machines []Entry   `json:"machines"`
}

// Entry is one machine of a spec: Choria's plugin entry, and what is ours.
type Entry struct {
	Name           string `json:"name"`
	Version        string `json:"version,omitempty"`
	Source         string `json:"source"`                    // https://... or object://BUCKET/NAME
	Checksum       string `json:"checksum"`                  // sha256 of the bundle, hex
	Verify         string `json:"verify,omitempty"`          // the checksum file inside, SHA256SUMS
	VerifyChecksum string `json:"verify_checksum,omitempty"` // sha256 of that file, hex
	Match          string `json:"match,omitempty"`           // expression over facts; "" is every node
	Username       string `json:"username,omitempty"`
	Password       string `json:"password,omitempty"`
	Size           int64  `json:"size,omitempty"` // of the bundle, bytes
	// Rollout and Governor are reserved or passed on as they are.
	Governor string         `json:"governor,omitempty"`
	Rollout  map[string]any `json:"rollout,omitempty"`
}

// Reason says in one word why a document was refused: the machine-readable part of a Refusal.
type Reason string

// The reasons.
const (
	Malformed  Reason = "malformed"   // no envelope, not canonical, unknown fields
	TooLarge   Reason = "too_large"   // beyond MaxEnvelope
	Unsigned   Reason = "unsigned"    // too few good signatures of keys that have the role
	WrongType  Reason = "wrong_type"  // right signatures over another kind of document
	WrongPlace Reason = "wrong_place" // another channel or cell
	Rollback   Reason = "rollback"    // a serial or version that is not above the last
	Mixed      Reason = "mixed"       // the same serial with another content
	Expired    Reason = "expired"
	NotYet     Reason = "not_yet" // issued in the future, beyond clock skew
	NoRoot     Reason = "no_root" // nothing is trusted yet
)

// Refusal is why a document was refused. Nothing that was accepted before is touched by it.
type Refusal struct {
	Reason Reason
	Detail string // for people
}

func (r *Refusal) Error() string { panic("contract only") }

// Signer signs envelopes: *identity.Key.
type Signer interface {
	Public() identity.PublicKey
	Sign(message []byte) []byte
}

// Sign makes the envelope (DSSE, JSON) of a *Root or *Spec over its canonical JSON. Cosign adds signatures to one.
func Sign(document any, signers ...Signer) (envelope []byte, err error) { panic("contract only") }

// Cosign adds a signature.
func Cosign(envelope []byte, signers ...Signer) ([]byte, error) { panic("contract only") }

// Want says which spec is expected.
type Want struct {
	Channel string
	Cell    string
	Now     time.Time
}

// VerifySpec is the one verification of a spec. last is what was accepted before, nil for nothing; acceptedUnder the version of the root then.
func VerifySpec(envelope []byte, root *Root, w Want, last *Spec, acceptedUnder uint64) (*Spec, error) {
	panic("contract only")
}

// Store keeps what one identity has verified: its trust root and the last good spec of each channel. Safe for concurrent use.
type Store struct{ _ int }

// OpenStore opens a folder (mode 0700, files 0600), or memory for "". anchors are the keys, of which one must have signed the first root: the
// cell's roots as the node's assignment names them. What the folder holds is verified again when it is read.
func OpenStore(dir string, anchors func() ([]identity.PublicKey, error)) (*Store, error) {
	panic("contract only")
}

// AcceptRoot takes the next root, or the first. A root that is known already changes nothing. Errors are *Refusal and those of storage.
func (s *Store) AcceptRoot(envelope []byte, now time.Time) (*Root, error) { panic("contract only") }

// Root is the present root, nil where there is none.
func (s *Store) Root() (*Root, error) { panic("contract only") }

// Accept verifies a spec and keeps it as the channel's last good one; fresh says whether it is new. Errors are *Refusal and those of storage: the last good stays.
func (s *Store) Accept(envelope []byte, w Want) (spec *Spec, fresh bool, err error) {
	panic("contract only")
}

// Last is the channel's last good spec, nil where there is none. It is what was accepted, however old it is by now.
func (s *Store) Last(channel string) (*Spec, error) { panic("contract only") }

// ChoriaSpec reads Choria's plugin specification: the bare list (unsigned, for publish), as `publish` takes it.
func ChoriaSpec(list []byte) ([]Entry, error) { panic("contract only") }

// VerifyChoria reads Choria's signed data item {"plugins": base64, "signature": hex}. It has no serial, expiry or audience.
func VerifyChoria(item []byte, key identity.PublicKey) ([]Entry, error) { panic("contract only") }
