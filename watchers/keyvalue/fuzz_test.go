package keyvalue

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// FuzzLease holds that a lease of which the key holds anything at all lasts for some time, and belongs to somebody or to nobody known.
func FuzzLease(f *testing.F) {
	for _, seed := range []string{
		`{"owner":"n1","session":"s","lease_seconds":5}`, `{"lease_seconds":1e400}`, `{"lease_seconds":-1}`, `{"lease_seconds":1e300}`, `{"owner":{}}`, `null`, ``,
		`{"first":18446744073709551616}`, `{"owner":"a","owner":"b"}`, `{"owner":"\u0000"}`,
	} {
		f.Add([]byte(seed), uint64(7))
	}
	f.Fuzz(func(t *testing.T, value []byte, revision uint64) {
		v, first, lasts := readLease(entry{key: "k", value: value, revision: revision}, time.Second)
		if lasts <= 0 || revision > 0 && first == 0 {
			t.Errorf("it lasts %s, from revision %d", lasts, first)
		}
		if ownerOf(entry{}, v) == "" {
			t.Error("it belongs to no one that can be named")
		}
		if _, err := json.Marshal(v); err != nil {
			t.Errorf("it cannot be written again: %v", err)
		}
	})
}

// FuzzRepublished holds that a message counts for a key only where the broker says that it stored it there.
func FuzzRepublished(f *testing.F) {
	f.Add("7", "KV_B", "$KV.B.k", "", []byte("x"))
	f.Add("1e400", "KV_B", "$KV.B.k", "DEL", []byte{})
	f.Add("-1", "KV_C", "$KV.B.other", "PURGE", []byte("\xff"))
	w := &kvListener{spec: &kvSpec{}, follower: follower{key: "k"}}
	f.Fuzz(func(t *testing.T, sequence, stream, subject, operation string, data []byte) {
		header := nats.Header{nats.JSSequence: {sequence}, nats.JSStream: {stream}, nats.JSSubject: {subject}, operationHeader: {operation}}
		e, ours := w.republished(&bucket{name: "B"}, &nats.Msg{Subject: "x", Header: header, Data: data})
		if ours && (stream != "KV_B" || subject != "$KV.B.k" || e.key != "k") {
			t.Errorf("%q of %q counts as %q", subject, stream, e.key)
		}
	})
}
