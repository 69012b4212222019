package machine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// EncodeRecord returns the record's JSON, the form that is stored, and its digest in hex: the SHA-256 of
// exactly these bytes. It is deterministic. The error is one of values that are not JSON, which no record
// of this package holds, or of a year beyond 9999.
func EncodeRecord(r *Record) ([]byte, string, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, "", fmt.Errorf("encoding record %d of %s: %w", r.Seq, r.Machine, err)
	}
	return b, HashRecord(b), nil
}

// HashRecord returns the digest of a record's stored JSON in hex, the Prev of the record after it.
func HashRecord(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// DecodeRecord reads a record's JSON as EncodeRecord wrote it. Fields that a record does not have are
// refused; values come back as the live machine had them.
func DecodeRecord(b []byte) (*Record, error) {
	var r Record
	if err := decodeStrict(b, &r); err != nil {
		return nil, fmt.Errorf("reading a record: %w", ofLater(err))
	}
	r.At = r.At.UTC()
	for _, m := range []*map[string]any{&r.Payload, &r.Input, &r.Set, &r.Arguments} {
		normal, err := normalObject(*m)
		if err != nil {
			return nil, fmt.Errorf("reading record %d: %w", r.Seq, err)
		}
		if *m == nil || len(*m) > 0 { // no arguments and empty ones differ
			*m = normal
		}
	}
	return &r, nil
}

// DecodeSnapshot reads a snapshot's JSON, as checkpoints and traces hold it.
func DecodeSnapshot(b []byte) (*Snapshot, error) {
	var s Snapshot
	if err := decodeStrict(b, &s); err != nil {
		return nil, fmt.Errorf("reading a snapshot: %w", ofLater(err))
	}
	for _, m := range []*map[string]any{&s.Data, &s.Input} {
		normal, err := normalObject(*m)
		if err != nil {
			return nil, fmt.Errorf("reading a snapshot: %w", err)
		}
		*m = normal
	}
	s.Entered = s.Entered.UTC()
	for name, visit := range s.Groups {
		visit.Entered = visit.Entered.UTC()
		s.Groups[name] = visit
	}
	return &s, nil
}

// decodeStrict reads exactly one JSON value without unknown fields, numbers as written.
func decodeStrict(b []byte, target any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	if err := dec.Decode(target); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// ofLater says of a field that this program does not know what is behind it.
func ofLater(err error) error {
	if strings.Contains(err.Error(), "unknown field") {
		return fmt.Errorf("%w: a later release of statecraft wrote it; read it with that release", err)
	}
	return err
}
