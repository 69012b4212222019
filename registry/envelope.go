package registry

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

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
	Sign(message []byte) []byte
}

// Sign makes the envelope (DSSE, as JSON) of a *Root or *Spec over its canonical JSON. Errors are those of Validate.
func Sign(document any, signers ...Signer) (envelope []byte, err error) {
	payloadType, validate := "", (func() error)(nil)
	switch d := document.(type) {
	case *Root:
		payloadType, validate = rootPayload, d.Validate
	case *Spec:
		payloadType, validate = specPayload, d.Validate
	default:
		return nil, fmt.Errorf("signing: %T is neither a root nor a spec", document)
	}
	if err := validate(); err != nil {
		return nil, err
	}
	payload, err := canonical(document)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	e := &dsse.Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload), Signatures: []dsse.Signature{}}
	sign(e, payload, signers)
	return json.Marshal(e)
}

// Cosign adds signatures to an envelope. Who has signed it already is left as it is.
func Cosign(envelope []byte, signers ...Signer) ([]byte, error) {
	e, payload, err := openEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	sign(e, payload, signers)
	return json.Marshal(e)
}

func sign(e *dsse.Envelope, payload []byte, signers []Signer) {
	message := dsse.PAE(e.PayloadType, payload)
	for _, s := range signers {
		id := s.Public().String()
		if !slices.ContainsFunc(e.Signatures, func(have dsse.Signature) bool { return have.KeyID == id }) {
			e.Signatures = append(e.Signatures, dsse.Signature{KeyID: id, Sig: base64.StdEncoding.EncodeToString(s.Sign(message))})
		}
	}
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
	if err := strictJSON(envelope, &e); err != nil {
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

// signedBy opens an envelope of a payload type that enough keys of a role have signed, and returns its payload.
func signedBy(envelope []byte, payloadType string, roles ...Role) ([]byte, error) {
	e, payload, err := openEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	if e.PayloadType != payloadType {
		return nil, refuse(WrongType, "it is %q where %q is expected", shorten(e.PayloadType), payloadType)
	}
	signers := signersOf(e, payload)
	for _, role := range roles {
		n := 0
		for _, key := range signers {
			if slices.Contains(role.Keys, key) {
				n++
			}
		}
		if n < role.Threshold || role.Threshold < 1 {
			return nil, refuse(Unsigned, "%d of the %d keys that may sign it have signed it; %d must", n, len(role.Keys), role.Threshold)
		}
	}
	return payload, nil
}

func shorten(text string) string { return text[:min(60, len(text))] }

// canonical is JSON with sorted keys, no spaces, and integers only (RFC 8785 where numbers are integers).
func canonical(document any) ([]byte, error) {
	raw, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
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

// readPayload reads what was signed. Only the canonical form is taken: two readers cannot disagree on it, whether over duplicate keys
// or over the case of a name.
func readPayload(payload []byte, into any) error {
	if err := strictJSON(payload, into); err != nil {
		return refuse(Malformed, "what was signed cannot be read: %v", err)
	}
	again, err := canonical(into)
	if err != nil || !bytes.Equal(again, payload) {
		return refuse(Malformed, "what was signed is not in its canonical form")
	}
	return nil
}
