package identity

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// FuzzAssignment holds that what an overlay sends as an assignment is refused or can be stored, read again and told from one that is the node's.
func FuzzAssignment(f *testing.F) {
	key := strings.Repeat("ab", 32)
	for _, seed := range []string{
		`{"identity":"n1.example","cell":"c","urls":["tls://127.0.0.1:1"],"token":"x","roots":["` + key + `"],"configuration":{"a":1}}`,
		`{"identity":"n1.example","roots":[],"policies":{"action":{"a":"x"},"opa":{"b":"y"}}}`, `{"identity":"n1.example","policies":{"action":{"../x":"y"}}}`,
		`{"identity":"N1","roots":null}`, `{"identity":1}`, `{"identity":"a","configuration":1e400}`, `{"identity":"a","identity":"b"}`, `[]`, ``, `{"urls":"x"}`,
		`{"identity":"a.b","certificate":"\u0000"}`, `{"identity":"a.b","roots":[],"deadline":{"hours":4},"Cell":"x"}`,
	} {
		f.Add([]byte(seed))
	}
	holder, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := readAssignment("fuzz", data)
		if err != nil {
			return
		}
		if a.Coherent(holder.Public(), Expect{Now: time.Unix(1_800_000_000, 0)}) == nil {
			t.Errorf("it is taken for the node's own: %s", data)
		}
		s, err := OpenStore("")
		if err != nil {
			t.Fatal(err)
		}
		if s.Stage(a) != nil {
			return
		}
		if err := s.Activate(); err != nil {
			t.Fatal(err)
		}
		again, err := s.Active()
		if err != nil || again.Identity != a.Identity || len(again.URLs) != len(a.URLs) || len(again.Unknown) != len(a.Unknown) {
			t.Errorf("it is read again as %+v: %v", again, err)
		}
	})
}

// FuzzClaims holds that claims that can be read are written as what is read again.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"purpose":"node","sub":"n1"}`, `{"exp":1e400}`, `{"exp":-1}`, `{"iat":"x"}`, `{"aud":["a","b"]}`, `{"purpose":"join","max_uses":1e30}`, `{"doc":{"a":1,"a":2}}`, `{}`, `[]`, ``,
		`{"identity":"\u0000"}`, `{"crit":["signer"]}`, `{"purpose":"issuer","limits":{"signer":1}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var c, again Claims
		if json.Unmarshal(text, &c) != nil {
			return
		}
		out, err := json.Marshal(c)
		if err != nil {
			return // some claims can be read that nobody signs
		}
		if err := json.Unmarshal(out, &again); err != nil {
			t.Errorf("%s is written as %s, which cannot be read: %v", text, out, err)
		}
	})
}
