package inventory

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema compiles one of Choria's schemas, after a change of what is known to be other than what Choria itself writes.
func schema(t testing.TB, file string, change func(s map[string]any)) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../testdata/schemas", file))
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`,(\s*})`).ReplaceAll(text, []byte("$1")) // the one of the registration is no JSON
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	change(parsed.(map[string]any))
	c := jsonschema.NewCompiler()
	if err := c.AddResource(file, parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// valid holds a text against a schema, and then without each of the fields that it must have.
func valid(t testing.TB, s *jsonschema.Schema, text string, required ...string) {
	t.Helper()
	read := func() map[string]any {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		return v.(map[string]any)
	}
	if err := s.Validate(read()); err != nil {
		t.Errorf("%v", err)
	}
	for _, field := range required {
		v := read()
		delete(v, field)
		if s.Validate(v) == nil {
			t.Errorf("it is valid without %s", field)
		}
	}
}

// TestDocumentsAreChorias holds documents against the schema of Choria's registration. That asks for mtime and file, which nobody writes, and for
// an inline inventory as a text, which it is not.
func TestDocumentsAreChorias(t *testing.T) {
	s := schema(t, "registration/inventorycontent.json", func(s map[string]any) {
		s["required"] = []any{"protocol"}
		s["properties"].(map[string]any)["content"].(map[string]any)["type"] = "object"
	})
	for _, inline := range []bool{false, true} {
		d, err := (&archive{}).document(survey{spec: &inventorySpec{FactLimit: 1000, Inline: inline}, facts: facts(t, map[string]any{"os": "linux"})})
		if err != nil {
			t.Fatal(err)
		}
		valid(t, s, d.text, "protocol")
		var parts map[string]json.RawMessage
		if err := json.Unmarshal([]byte(d.text), &parts); err != nil || len(parts) != 2 || (parts["content"] != nil) != inline {
			t.Errorf("inline %t: %s (%v)", inline, d.text, err)
		}
	}
}

// TestOutputsAreChorias holds what the stream gets against the schemas of Choria's adapters. Choria Streams' wants a number for the time, of which
// Choria itself makes a text.
func TestOutputsAreChorias(t *testing.T) {
	for format, change := range map[string]func(s map[string]any){
		"choria_streams": func(s map[string]any) {
			s["properties"].(map[string]any)["time"] = map[string]any{"type": "string", "format": "date-time"}
		},
		"jetstream": func(map[string]any) {},
	} {
		t.Run(format, func(t *testing.T) {
			a := newAdapterTest(t, false)
			stream := a.stream()
			a.spec.Format = format
			a.listen()
			a.send(inventoryOf("n1=example", "n1.example", `{"protocol":"p"}`))
			waitFor(t, a.holds(1))
			m, err := stream.GetMsg(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			valid(t, schema(t, "adapters/"+format+".json", change), string(m.Data), "protocol", "data", "sender", "time", "requestid")
		})
	}
}
