package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// MaxEnvelope bounds what is read as an envelope, in bytes.
const MaxEnvelope = 1 << 20

// The payload types of envelopes. A signature covers the type, so that one document never passes for another.
const (
	rootPayload = "application/vnd.statecraft.root+json"
	specPayload = "application/vnd.statecraft.spec+json"
)

// maxSignatures bounds the work that an envelope can cause.
const maxSignatures = 32

// Signer signs envelopes: *identity.Key.
type Signer interface {
	Public() identity.PublicKey
	SignMessage(message []byte) ([]byte, error)
}

// Sign makes the envelope (DSSE, as JSON) of a *Root or *Spec over its canonical JSON. Errors are those of Validate.
func Sign(document any, signers ...Signer) (envelope []byte, err error) {
	payloadType, d := "", signable(nil)
	switch document := document.(type) {
	case *Root:
		payloadType, d = rootPayload, document
	case *Spec:
		payloadType, d = specPayload, document
	default:
		return nil, fmt.Errorf("signing: %T is neither a root nor a spec", document)
	}
	if err := d.Validate(); err != nil {
		return nil, err
	}
	payload, err := payloadOf(d)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	e := &dsse.Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload), Signatures: []dsse.Signature{}}
	if err := sign(e, payload, signers); err != nil {
		return nil, err
	}
	return json.Marshal(e)
}

// Cosign adds signatures to an envelope. Who has signed it already is left as it is. Nobody signs what is neither a root nor a spec that there
// can be. Errors are *Refusal.
func Cosign(envelope []byte, signers ...Signer) ([]byte, error) {
	e, payload, err := openEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	if e.PayloadType != rootPayload && e.PayloadType != specPayload {
		return nil, refuse(WrongType, "it is %q, which is neither a spec nor a trust root", shorten(e.PayloadType))
	}
	o := &opened{payloadType: e.PayloadType, payload: payload}
	if _, err := o.read(); err != nil {
		return nil, err
	}
	if err := sign(e, payload, signers); err != nil {
		return nil, err
	}
	return json.Marshal(e)
}

func sign(e *dsse.Envelope, payload []byte, signers []Signer) error {
	message := dsse.PAE(e.PayloadType, payload)
	for _, s := range signers {
		id := s.Public().String()
		if slices.ContainsFunc(e.Signatures, func(have dsse.Signature) bool { return have.KeyID == id }) {
			continue
		}
		signature, err := s.SignMessage(message)
		if err != nil {
			return fmt.Errorf("signing with the key %s: %w", id, err)
		}
		e.Signatures = append(e.Signatures, dsse.Signature{KeyID: id, Sig: base64.StdEncoding.EncodeToString(signature)})
	}
	return nil
}

// Signers are the keys whose signatures in an envelope are good, whatever role they have.
func Signers(envelope []byte) ([]identity.PublicKey, error) {
	e, payload, err := openEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	return signersOf(e, payload), nil
}

// signersOf returns each key once, however often it has signed.
func signersOf(e *dsse.Envelope, payload []byte) []identity.PublicKey {
	message := dsse.PAE(e.PayloadType, payload)
	var good []identity.PublicKey
	for _, s := range e.Signatures {
		key, err := identity.ParsePublicKey(s.KeyID)
		if err != nil || slices.Contains(good, key) {
			continue
		}
		if sig, err := base64.StdEncoding.DecodeString(s.Sig); err == nil && key.Verify(message, sig) {
			good = append(good, key)
		}
	}
	return good
}

// openEnvelope reads an envelope strictly, and believes nothing of it.
func openEnvelope(envelope []byte) (*dsse.Envelope, []byte, error) {
	if len(envelope) > MaxEnvelope {
		return nil, nil, refuse(TooLarge, "it has %d bytes; %d are the most", len(envelope), MaxEnvelope)
	}
	var e dsse.Envelope
	// What is not known of an envelope is passed over, as DSSE has it: nobody has signed it.
	if err := json.Unmarshal(envelope, &e); err != nil {
		return nil, nil, refuse(Malformed, "it is no envelope: %v", err)
	}
	if len(e.Signatures) > maxSignatures {
		return nil, nil, refuse(Malformed, "it has %d signatures; %d are the most", len(e.Signatures), maxSignatures)
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(e.Payload)
	if err != nil {
		return nil, nil, refuse(Malformed, "its payload is not base64: %v", err)
	}
	return &e, payload, nil
}

// opened is what an envelope holds and who has signed it: nothing that depends on who is trusted. It is immutable once read.
type opened struct {
	envelope    []byte
	payloadType string
	payload     []byte
	signers     []identity.PublicKey

	once     sync.Once
	document signable // *Spec or *Root
	err      error    // why the payload is neither
}

// signable is what is signed: *Root or *Spec.
type signable interface {
	Validate() error
	read(text []byte) error
	tree() (object, error)
	known() []string
	PassedOver() []string
}

func open(envelope []byte) (*opened, error) {
	e, payload, err := openEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	return &opened{envelope: slices.Clone(envelope), payloadType: e.PayloadType, payload: payload, signers: signersOf(e, payload)}, nil
}

// signedBy refuses what is of another payload type, or signed by too few keys of any of the roles.
func (o *opened) signedBy(payloadType string, roles ...Role) error {
	if o.payloadType != payloadType {
		return refuse(WrongType, "it is %q where %q is expected", shorten(o.payloadType), payloadType)
	}
	for _, role := range roles {
		n := 0
		for _, key := range o.signers {
			if slices.Contains(role.Keys, key) {
				n++
			}
		}
		if len(role.Keys) == 0 {
			return refuse(Unsigned, "nobody may sign it: no trust root gives the role for its channel to a key")
		}
		if n < role.Threshold || role.Threshold < 1 {
			return refuse(Unsigned, "%d of the %d keys that may sign it have signed it; %d must", n, len(role.Keys), role.Threshold)
		}
		if len(role.Requires) > 0 {
			return refuse(Unsupported, "the trust root requires %q of whoever signs it, which this release does not know; upgrade it", role.Requires)
		}
	}
	return nil
}

// read decodes the payload, once. It is asked for after signedBy: what nobody trusted has signed is not parsed.
func (o *opened) read() (signable, error) {
	o.once.Do(func() {
		o.document = &Spec{}
		if o.payloadType == rootPayload {
			o.document = &Root{}
		}
		h := o.head()
		if o.err = h.unsupported(o.document.known()); o.err != nil {
			return
		}
		if o.err = readPayload(o.payload, o.document); o.err != nil {
			return
		}
		if err := o.document.Validate(); err != nil {
			o.err = refuse(Malformed, "what was signed is none that there can be: %v", err)
		}
	})
	return o.document, o.err
}

// head is what the payload says before all else, without what cannot be read: a later release may have other types for what this one does not need.
func (o *opened) head() head {
	var keys map[string]json.RawMessage
	if json.Unmarshal(o.payload, &keys) != nil {
		return head{}
	}
	return head{
		Type: readable[string](keys["type"]), Version: readable[uint64](keys["version"]),
		Critical: readable[[]string](keys["critical"]), Extensions: readable[map[string]json.RawMessage](keys["extensions"]),
	}
}

// readable is a value from its JSON; the zero value where it is none of its type.
func readable[T any](text []byte) (value T) {
	if json.Unmarshal(text, &value) != nil {
		return *new(T)
	}
	return value
}

// Envelopes remembers the last envelopes that were opened, for stores of one process to share: in an emulation thousands of nodes are
// given the same ones. What it remembers is a function of the bytes alone; whom a store trusts is asked each time. Nil remembers nothing.
// Safe for concurrent use.
type Envelopes struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]*opened
	order [][sha256.Size]byte // the oldest first
}

// maxRemembered bounds what Envelopes remembers.
const maxRemembered = 64

func (v *Envelopes) open(envelope []byte) (*opened, error) {
	if v == nil || len(envelope) > MaxEnvelope {
		return open(envelope)
	}
	sum := sha256.Sum256(envelope)
	v.mu.Lock()
	defer v.mu.Unlock() // one of those who come together does the work
	if o := v.known[sum]; o != nil {
		return o, nil
	}
	o, err := open(envelope)
	if err != nil {
		return nil, err
	}
	if v.known == nil {
		v.known = map[[sha256.Size]byte]*opened{}
	}
	if len(v.order) == maxRemembered {
		delete(v.known, v.order[0])
		v.order = v.order[1:]
	}
	v.known[sum], v.order = o, append(v.order, sum)
	return o, nil
}

func shorten(text string) string { return diag.Brief(text, 60) }

// payloadOf is a document as it is signed.
func payloadOf(document signable) ([]byte, error) {
	tree, err := document.tree()
	if err != nil {
		return nil, err
	}
	return canonical(tree)
}

// canonical is JSON with sorted keys, no spaces, and integers only (RFC 8785 where numbers are integers).
func canonical(tree object) ([]byte, error) {
	if err := integersOnly(tree); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(tree); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func integersOnly(v any) error {
	switch v := v.(type) {
	case json.Number:
		if _, err := v.Int64(); err != nil {
			return fmt.Errorf("the number %s is no integer of 64 bits", v)
		}
	case map[string]any:
		for _, inner := range v {
			if err := integersOnly(inner); err != nil {
				return err
			}
		}
	case []any:
		for _, inner := range v {
			if err := integersOnly(inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// strictJSON decodes one document that has no key that is unknown.
func strictJSON(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows it")
	}
	return nil
}

// readPayload reads what was signed. Only the canonical form is taken, with what a later release has added: two readers cannot disagree on
// it, whether over duplicate keys or over the case of a name.
func readPayload(payload []byte, into signable) error {
	if err := into.read(payload); err != nil {
		return refuse(Malformed, "what was signed cannot be read: %v", err)
	}
	again, err := payloadOf(into)
	if err != nil || !bytes.Equal(again, payload) {
		return refuse(Malformed, "what was signed is not in its canonical form")
	}
	return nil
}
