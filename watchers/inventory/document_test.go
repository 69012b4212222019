package inventory

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

func facts(t testing.TB, v map[string]any) *watchers.Facts {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	f, err := watchers.NewFacts(raw)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func unpack(t testing.TB, text string) map[string]any {
	t.Helper()
	var doc struct{ Protocol, Zcontent string }
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Protocol != protocol {
		t.Errorf("protocol %q", doc.Protocol)
	}
	packed, err := base64.StdEncoding.DecodeString(doc.Zcontent)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var content map[string]any
	if err := json.Unmarshal(raw, &content); err != nil {
		t.Fatal(err)
	}
	return content
}

func TestDocumentCarriesTheInventoryWithoutSecrets(t *testing.T) {
	a := &archive{build: "1.2.3"}
	d, err := a.document(survey{
		spec: &inventorySpec{FactLimit: 1000}, classes: []string{"web"},
		facts:    facts(t, map[string]any{"os": "linux", "db": map[string]any{"password": "x", "port": 1}}),
		machines: map[string]running{"web": {Version: "1.0.0", State: "running", Digest: "ab"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"agents": []any{}, "classes": []any{"web"}, "collectives": []any{}, "status": map[string]any{"machines": 1.0},
		"build_info": map[string]any{"version": "1.2.3", "release": machine.Release},
		"facts":      map[string]any{"os": "linux", "db": map[string]any{"port": 1.0}},
		"machines":   map[string]any{"web": map[string]any{"version": "1.0.0", "state": "running", "digest": "ab"}},
	}
	if diff := cmp.Diff(want, unpack(t, d.text)); diff != "" {
		t.Error(diff)
	}
}

func TestDigestIsOfTheStablePart(t *testing.T) {
	base := map[string]any{"os": "linux", "system_uptime": 1}
	digest := func(f map[string]any, state string) string {
		d, err := (&archive{}).document(survey{spec: &inventorySpec{FactLimit: 1000}, facts: facts(t, f), machines: map[string]running{"web": {State: state}}})
		if err != nil {
			t.Fatal(err)
		}
		return d.digest
	}
	first := digest(base, "running")
	if digest(map[string]any{"os": "linux", "system_uptime": 2}, "running") != first {
		t.Error("uptime counts as a change")
	}
	if digest(map[string]any{"os": "plan9", "system_uptime": 1}, "running") == first {
		t.Error("another system counts as none")
	}
	if digest(base, "failed") == first {
		t.Error("a machine's state counts as none")
	}
}

func TestLargeFactsAreDroppedByName(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	noise := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = alphabet[random.IntN(len(alphabet))]
		}
		return string(b)
	}
	f := facts(t, map[string]any{"huge": noise(40_000), "a": noise(30_000), "b": noise(25_000), "c": noise(20_000), "os": "linux"})
	d, err := (&archive{}).document(survey{spec: &inventorySpec{FactLimit: 32768}, facts: f})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"huge", "a"}, d.dropped); diff != "" {
		t.Error(diff)
	}
	if quoted, _ := json.Marshal(d.text); len(quoted) > machine.MaxPayload {
		t.Errorf("%d bytes", len(quoted))
	}
	if kept := unpack(t, d.text)["facts"].(map[string]any); kept["os"] != "linux" || kept["huge"] != nil || kept["b"] == nil {
		t.Error("other facts are gone, or dropped ones are there")
	}
}

func TestSurveyorSaysWhatHasChanged(t *testing.T) {
	s := &surveyor{spec: &inventorySpec{FactLimit: 1000}, documents: &archive{}}
	look := func(f map[string]any) string {
		return s.Check(t.Context(), &watchers.Look{Facts: facts(t, f), Log: slog.New(slog.DiscardHandler)}).Outcome
	}
	var got []string
	for _, os := range []string{"a", "a", "b", "b"} {
		got = append(got, look(map[string]any{"os": os}))
	}
	if diff := cmp.Diff("changed unchanged changed unchanged", strings.Join(got, " ")); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkDocumentUnchangedFacts(b *testing.B) {
	a, many := &archive{}, map[string]any{}
	for i := range 200 {
		many["fact"+string(rune('a'+i%26))+strings.Repeat("x", i/26)] = strings.Repeat("v", 20)
	}
	s := survey{spec: &inventorySpec{FactLimit: 32768}, facts: facts(b, many), machines: map[string]running{"web": {Version: "1", State: "up"}}}
	for b.Loop() {
		if _, err := a.document(s); err != nil {
			b.Fatal(err)
		}
	}
}
