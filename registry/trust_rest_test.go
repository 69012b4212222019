package registry

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestC20Spec takes nothing that two readers could read differently, even where it is signed.
func TestC20Spec(t *testing.T) {
	tm := newTeam(t, 1, 1)
	_, payload, err := openEnvelope(sealed(t, tm.spec(1, "web"), tm.signers...))
	if err != nil {
		t.Fatal(err)
	}
	good := string(payload)
	for name, test := range map[string]struct{ old, new, detail string }{
		"as it is":        {"", "", ""},
		"a key twice":     {`"serial":1`, `"serial":1,"serial":2`, "canonical"},
		"another case":    {`"serial":1`, `"Serial":1`, "in case only"},
		"both cases":      {`"serial":1`, `"Serial":1,"serial":1`, "in case only"},
		"a long s":        {`"serial":1`, `"serial":1,"\u017ferial":1`, "in case only"},
		"of an entry":     {`"name":"web"`, `"NAME":"web","name":"web"`, "in case only"},
		"a misspelt key":  {`"name":"web"`, `"nmae":"web"`, "canonical"},
		"null for none":   {`"name":"web"`, `"match":null,"name":"web"`, "canonical"},
		"bad critical":    {`"channel"`, `"critical":"x","channel"`, "cannot be read"},
		"a null entry":    {`"machines":[`, `"machines":[null,`, "canonical"},
		"no machines":     {good[strings.Index(good, `"machines":[`) : strings.Index(good, `],"`)+1], `"machines":null`, "machines"},
		"a fraction":      {`"serial":1`, `"serial":1.0`, "cannot be read"},
		"a space":         {`"serial":1`, `"serial": 1`, "canonical"},
		"an offset":       {`12:00:00Z`, `12:00:00+00:00`, "canonical"},
		"deep":            {`"serial":1`, `"serial":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000), "cannot be read"},
		"a bad name":      {`"name":"web"`, `"name":"../web"`, "name"},
		"a bad source":    {`"source":"object://`, `"source":"file://`, "source"},
		"plain http":      {`"source":"object://BUNDLES`, `"source":"http://example.net`, "source"},
		"a short digest":  {`"checksum":"ab`, `"checksum":"`, "checksum"},
		"a governor":      {`"name":"web"`, `"governor":"Slow_1-","name":"web"`, ""},
		"a bad governor":  {`"name":"web"`, `"governor":"slow.*","name":"web"`, "governor"},
		"a long governor": {`"name":"web"`, `"governor":"` + strings.Repeat("g", 65) + `","name":"web"`, "governor"},
		"something after": {"}]", "}]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := good
			if test.old != "" {
				if text = strings.Replace(good, test.old, test.new, 1); text == good && test.old != test.new {
					t.Fatalf("%q is not in %s", test.old, good)
				}
			}
			_, err := ReadSpec(raw(t, specPayload, text, tm.signers...), tm.root)
			if test.detail == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refusedFor(t, err, Malformed)
			if err != nil && !strings.Contains(err.Error(), test.detail) {
				t.Errorf("it does not say %q: %v", test.detail, err)
			}
		})
	}
}

// TestC18AtRest changes the files of a store: what was not signed does not come back, and the serial is not forgotten.
func TestC18AtRest(t *testing.T) {
	tm := newTeam(t, 1, 1)
	for name, change := range map[string]func(t *testing.T, dir string){
		"a flipped bit": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "spec.default.json"), func(s *storedSpec) { s.Envelope[len(s.Envelope)/2] ^= 1 })
		},
		"another spec": func(t *testing.T, dir string) {
			forged := sealed(t, tm.spec(7, "evil"), newKeys(t, 1)...)
			rewrite(t, filepath.Join(dir, "spec.default.json"), func(s *storedSpec) { s.Envelope = forged })
		},
		"half of the file": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "spec.default.json"), func(s *storedSpec) { s.Envelope = s.Envelope[:10] })
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "trust")
			if _, _, err := tm.store(dir).Accept(sealed(t, tm.spec(7, "web"), tm.signers...), want(begun)); err != nil {
				t.Fatal(err)
			}
			change(t, dir)
			s := tm.reopen(dir)
			if last, err := s.Last("default"); err != nil || last != nil {
				t.Errorf("the last good one is %+v, %v", last, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "spec.default.json.damaged")); err != nil {
				t.Error(err)
			}
			_, _, err := s.Accept(sealed(t, tm.spec(6, "old"), tm.signers...), want(begun))
			refusedFor(t, err, Rollback)
			if _, _, err := s.Accept(sealed(t, tm.spec(7, "web"), tm.signers...), want(begun)); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("the roots", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "trust")
		tm.store(dir)
		other := newTeam(t, 1, 1)
		text, err := json.Marshal([][]byte{sealed(t, other.root, other.anchor)})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "roots.json"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if root, err := tm.reopen(dir).Root(); err != nil || root != nil {
			t.Errorf("the root is %+v, %v", root, err)
		}
	})
}

func rewrite(t *testing.T, file string, change func(*storedSpec)) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s storedSpec
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	change(&s)
	if text, err = json.Marshal(s); err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestC18LyingPublisher lets a publisher lie in every way, between honest publications and rotations, and holds the store against a
// model that knows who said what.
func TestC18LyingPublisher(t *testing.T) {
	thief := newKeys(t, 1)[0]
	rapid.Check(t, func(rt *rapid.T) {
		tm := newTeam(t, 2, 1)
		s := tm.store("")
		honest, accepted := uint64(0), uint64(0)
		var past [][]byte
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"publish", "replay", "forge", "bend", "rotate", "later"}).Draw(rt, "step") {
			case "publish":
				honest++
				envelope := sealed(t, tm.spec(honest, fmt.Sprintf("m%d", honest)), tm.signers[0])
				past = append(past, envelope)
				if _, fresh, err := s.Accept(envelope, want(begun)); err != nil || !fresh {
					rt.Fatalf("serial %d after %d: fresh %t, %v", honest, accepted, fresh, err)
				}
				accepted = honest
			case "replay":
				if len(past) == 0 {
					continue
				}
				_, fresh, _ := s.Accept(rapid.SampledFrom(past).Draw(rt, "old"), want(begun))
				if fresh {
					rt.Fatal("an old spec was taken for a new one")
				}
			case "forge":
				serial := rapid.Uint64Range(1, 1<<62).Draw(rt, "serial")
				if _, _, err := s.Accept(sealed(t, tm.spec(serial, "evil"), thief), want(begun)); err == nil {
					rt.Fatal("a forged spec was taken")
				}
			case "bend":
				if len(past) == 0 {
					continue
				}
				bent := append([]byte(nil), rapid.SampledFrom(past).Draw(rt, "bent")...)
				bent[rapid.IntRange(0, len(bent)-1).Draw(rt, "at")] ^= byte(rapid.IntRange(1, 255).Draw(rt, "by"))
				if _, fresh, _ := s.Accept(bent, want(begun)); fresh {
					rt.Fatal("a bent spec was taken for a new one")
				}
			case "rotate":
				key := newKeys(t, 1)[0]
				if err := tm.next(s, RootChange{Role: RoleSpec, Add: public(key), Remove: public(tm.signers[0])}, tm.anchor); err != nil {
					rt.Fatal(err)
				}
				tm.signers[0] = key
			case "later":
				_, _, err := s.Accept(sealed(t, tm.spec(honest+1, "late"), tm.signers[0]), want(begun.Add(91*day)))
				refusedFor(t, err, Expired)
			}
			last, err := s.Last("default")
			switch {
			case err != nil:
				rt.Fatal(err)
			case accepted == 0 && last != nil:
				rt.Fatalf("nothing was published, and the store has %+v", last)
			case accepted > 0 && (last.Serial != accepted || last.Machines[0].Name != fmt.Sprintf("m%d", accepted)):
				rt.Fatalf("serial %d was published, and the store has %+v", accepted, last)
			}
		}
	})
}

func TestChoria(t *testing.T) {
	key := newKeys(t, 1)[0]
	list := `[{"name":"web","source":"https://example.net/web.tgz","checksum":"` + strings.Repeat("ab", 32) + `","interval":"1m"}]`
	item := func(list string, signer *identity.Key) []byte {
		return fmt.Appendf(nil, `{"plugins":%q,"signature":%q}`, base64.StdEncoding.EncodeToString([]byte(list)), hex.EncodeToString(signer.Sign([]byte(list))))
	}
	entries, err := VerifyChoria(item(list, key), key.Public())
	if err != nil || len(entries) != 1 || entries[0].Name != "web" {
		t.Errorf("%+v, %v", entries, err)
	}
	_, err = VerifyChoria(item(list, newKeys(t, 1)[0]), key.Public())
	refusedFor(t, err, Unsigned)
	_, err = VerifyChoria([]byte(`{"plugins":"!","signature":""}`), key.Public())
	refusedFor(t, err, Malformed)
	for _, bad := range []string{`[null]`, `{}`, `[{"name":"web"}]`, strings.Replace(list, "}]", "},{}]", 1)} {
		if _, err := ChoriaSpec([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// TestWhomAListIsForIsSaid: what the channel overlay publishes is for hosts, and a channel whose role no root has nobody signs for.
func TestWhomAListIsForIsSaid(t *testing.T) {
	for channel, want := range map[string]string{"default": "+ a 1 for every node", OverlayChannel: "+ a 1 for every host"} {
		if all := Diff(nil, &Spec{Channel: channel, Machines: []Entry{{Name: "a", Version: "1"}}}); len(all) != 1 || all[0].String() != want {
			t.Errorf("in the channel %s: %v", channel, all)
		}
	}
	if err := (&opened{payloadType: specPayload}).signedBy(specPayload, Role{}); err == nil || !strings.Contains(err.Error(), "nobody may sign it") {
		t.Errorf("a role without a key: %v", err)
	}
}

func TestDiff(t *testing.T) {
	tm := newTeam(t, 1, 1)
	old, now := tm.spec(1, "web", "db", "log"), tm.spec(2, "web", "db", "new")
	now.Machines[0].Version = "1.1.0"
	now.Machines[1].Match = "identity('^db')"
	now.Machines[2].Match = "has_command('x')"
	var lines []string
	for _, c := range Diff(old, now) {
		lines = append(lines, c.String())
	}
	want := []string{"~ db, match every node -> identity('^db')", "- log 1.0.0", "+ new 1.0.0 for has_command('x')", "~ web 1.0.0 -> 1.1.0"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	if d := Diff(now, now); d != nil {
		t.Errorf("the same differs by %v", d)
	}
}

func FuzzEnvelope(f *testing.F) {
	tm := newTeam(f, 1, 1)
	good := sealed(f, tm.spec(1, "web"), tm.signers...)
	f.Add(good)
	f.Add(sealed(f, tm.root, tm.anchor))
	f.Add([]byte(`{"payloadType":"","payload":"","signatures":[{}]}`))
	f.Fuzz(func(t *testing.T, envelope []byte) {
		spec, err := VerifySpec(envelope, tm.root, want(begun), nil, 0)
		if err == nil && (spec.Serial != 1 || spec.Machines[0].Name != "web") {
			t.Errorf("nobody has signed %+v", spec)
		}
	})
}

// FuzzPayload signs whatever it is given: what is read back has one form only.
func FuzzPayload(f *testing.F) {
	tm := newTeam(f, 1, 1)
	for _, document := range []signable{tm.spec(1, "web"), tm.root} {
		text, err := payloadOf(document)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
		f.Add(strings.Replace(string(text), `{`, `{"after":{"a":[1,"<"]},"critical":["type"],"extensions":{"x":null},`, 1))
		f.Add(strings.Replace(string(text), `{`, `{"critical":["gate"],`, 1))
		f.Add(strings.Replace(string(text), `"roles":{`, `"roles":{"gate":{"keys":7},`, 1))
		f.Add(strings.Replace(string(text), `"threshold":1`, `"requires":["gate"],"threshold":1,"until":2`, 1))
		f.Add(strings.Replace(string(text), `"version":"1.0.0"`, `"user":"web","version":"1.0.0"`, 1))
		f.Add(strings.Replace(string(text), `.v1"`, `.v2"`, 1))
	}
	f.Fuzz(func(t *testing.T, payload string) {
		if spec, err := ReadSpec(raw(t, specPayload, payload, tm.signers...), tm.root); err == nil {
			if again, err := payloadOf(spec); err != nil || string(again) != payload {
				t.Errorf("%s is read as %s", payload, again)
			}
		}
		if root, err := readRoot(raw(t, rootPayload, payload, tm.anchor), nil, public(tm.anchor)); err == nil {
			if again, err := payloadOf(root); err != nil || string(again) != payload || root.Version == 0 {
				t.Errorf("%s is read as %s", payload, again)
			}
		}
	})
}

func FuzzChoria(f *testing.F) {
	f.Add([]byte(`[{"name":"web","source":"https://example.net/web.tgz","checksum":"` + strings.Repeat("ab", 32) + `"}]`))
	f.Fuzz(func(t *testing.T, list []byte) {
		entries, err := ChoriaSpec(list)
		for i := range entries {
			if invalid := entries[i].Validate(); err == nil && invalid != nil {
				t.Error(invalid)
			}
		}
	})
}

func BenchmarkVerifySpec(b *testing.B) {
	for _, threshold := range []int{1, 2} {
		b.Run(fmt.Sprintf("50 machines, threshold %d", threshold), func(b *testing.B) {
			tm := newTeam(b, threshold, threshold)
			var names []string
			for i := range 50 {
				names = append(names, fmt.Sprintf("machine%d", i))
			}
			envelope := sealed(b, tm.spec(1, names...), tm.signers...)
			b.SetBytes(int64(len(envelope)))
			for b.Loop() {
				if _, err := VerifySpec(envelope, tm.root, want(begun.Add(time.Hour)), nil, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
