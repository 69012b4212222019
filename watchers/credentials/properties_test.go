package credentials

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/conformance"
)

func plainNumbers(t *testing.T, m map[string]any) (out map[string]any) {
	t.Helper()
	text, err := json.Marshal(m)
	must(t, err, json.Unmarshal(text, &out))
	return out
}

func TestConformance(t *testing.T) {
	f := newFleet(t)
	f.assign(10 * time.Hour)
	setup := func(_ *testing.T, look *watchers.Look) { look.Identity, look.At = "web1.example", noon }
	for _, c := range []conformance.Case{
		{Type: f.types()["identity"], Properties: "action: ensure"},
		{Type: f.types()["identity"], Properties: "action: stage\ndocument: data.a"},
		{Type: f.types()["token"], Properties: "action: nonce"},
		{Type: f.types()["token"], Properties: "action: due"},
		{Type: f.types()["token"], Properties: "action: issue\npurpose: proof\nlifetime: 1m"},
		{Type: f.types()["token"], Properties: "action: verify\npurpose: proof\ntoken: data.t"},
		{Type: f.types()["token"], Properties: "action: store\ntoken: data.t"},
	} {
		c.Setup = setup
		t.Run(c.Properties, func(t *testing.T) { conformance.Run(t, c) })
	}
}

func TestPropertiesThatAreRefused(t *testing.T) {
	types := newFleet(t).types()
	for _, tt := range []struct {
		typ, properties string
		want            []string
	}{
		{"token", "action: issue", []string{"SC343 the action issue needs lifetime", "SC343 the action issue needs purpose"}},
		{"token", "action: verify", []string{"SC343 the action verify needs purpose", "SC343 the action verify needs token"}},
		{"token", "action: store", []string{"SC343 the action store needs token"}},
		{"token", "{action: nonce, leeway: 1m}", []string{"SC344 the action nonce does not read leeway"}},
		{"token", "{action: due, token: data.t}", []string{"SC344 the action due does not read token"}},
		{"token", "{action: store, token: data.t, issuer: x, expect: '{}'}",
			[]string{"SC344 the action store does not read issuer", "SC344 the action store does not read expect"}},
		{"token", "{action: issue, purpose: x, lifetime: 100ms}", []string{"SC026 lifetime: 100ms is below"}},
		{"identity", "action: stage", []string{"SC343 the action stage needs document"}},
		{"identity", "{action: check, document: data.a}", []string{"SC344 the action check does not read document"}},
		{"token", "{action: verify, purpose: x, token: 'data.'}", []string{"SC257 expression"}},
	} {
		_, list := prepare(types[tt.typ], tt.properties)
		if len(list) != len(tt.want) {
			t.Errorf("%s: %v, want %v", tt.properties, list, tt.want)
			continue
		}
		for i, d := range list {
			if got := string(d.Code) + " " + d.Message; !strings.HasPrefix(got, tt.want[i]) || d.Hint == "" {
				t.Errorf("%s: %s, hint %q; want %s", tt.properties, got, d.Hint, tt.want[i])
			}
		}
	}
}

// catalogue is the two types.
type catalogue map[string]watchers.Type

func (c catalogue) Find(name string) (*machine.WatcherType, bool) {
	t, ok := c[name]
	return &t.WatcherType, ok
}

func (c catalogue) Names() []string { return []string{"identity", "token"} }

func TestDocumentedCodes(t *testing.T) {
	types := catalogue(newFleet(t).types())
	for _, code := range []diag.Code{CodeNeeded, CodeUnread} {
		e, ok := diag.Explain(code)
		if !ok {
			t.Fatalf("%s is not documented", code)
		}
		for text, want := range map[string][]diag.Code{e.Bad: {code}, e.Good: nil} {
			var got []diag.Code
			_, list := machine.Load("machine.yaml", []byte(text), types)
			for _, d := range list {
				got = append(got, d.Code)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s\n%v", code, diff, list)
			}
		}
	}
}

// TestNoSecretsLeave runs every action in every way that it can go, and looks for the seeds in all that comes out.
func TestNoSecretsLeave(t *testing.T) {
	f := newFleet(t)
	var seeds [][]byte
	seedOf := func() {
		content, err := os.ReadFile(filepath.Join(f.dir, "key"))
		must(t, err)
		_, text, _ := strings.Cut(strings.TrimSpace(string(content)), "\n")
		seed, err := hex.DecodeString(text)
		if err != nil || len(seed) != 32 {
			t.Fatalf("there is no seed: %v", err)
		}
		seeds = append(seeds, seed)
	}
	seedOf()
	good := f.document(sign(t, f.enrollment, f.nodeClaims(12*time.Hour)))
	var out strings.Builder
	write := func(r watchers.Report) {
		text, err := json.Marshal(r)
		must(t, err)
		out.Write(text)
	}
	data := map[string]any{"a": good, "t": good["token"], "name": "web1.example", "key": f.key.Public().String(), "cell": "c1"}
	for range 2 {
		for _, id := range []string{"web1.example", "overlay1", "stranger"} {
			for _, action := range []string{"check", "ensure", "activate", "rollback", "commit", "forget", "replace_key", "provide"} {
				write(f.as(id, "identity", "action: "+action, data))
			}
			seedOf()
			write(f.as(id, "identity", "{action: stage, document: data.a}", data))
			write(f.as(id, "token", issueNode, data))
			write(f.as(id, "token", "{action: issue, purpose: proof, lifetime: 1m}", data))
			write(f.as(id, "token", "{action: verify, purpose: node, token: data.t}", data))
			write(f.as(id, "token", "{action: store, token: data.t}", data))
			write(f.as(id, "token", "action: due", data))
			write(f.as(id, "token", "action: nonce", data))
		}
	}
	must(t, os.Truncate(filepath.Join(f.dir, "key"), 100))
	write(f.do("identity", "action: check", nil))
	out.WriteString(f.log.String())
	if len(seeds) < 3 || !strings.Contains(out.String(), "success") {
		t.Fatalf("%d seeds, %d bytes", len(seeds), out.Len())
	}
	for _, seed := range seeds {
		for _, form := range []string{hex.EncodeToString(seed), strings.ToUpper(hex.EncodeToString(seed)), hex.EncodeToString(seed)[:16],
			base64.StdEncoding.EncodeToString(seed), base64.RawURLEncoding.EncodeToString(seed), string(seed)} {
			if strings.Contains(out.String(), form) {
				t.Errorf("a seed leaves as %s", form)
			}
		}
	}
}

func TestEveryOutcomeIsDeclaredOnce(t *testing.T) {
	for _, typ := range Types(nil, nil) {
		var names []string
		for _, o := range typ.Outcomes {
			names = append(names, o.Name)
			if o.Doc == "" {
				t.Errorf("%s: %s is not documented", typ.Name, o.Name)
			}
		}
		slices.Sort(names)
		if len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("%s: %v", typ.Name, names)
		}
	}
}
