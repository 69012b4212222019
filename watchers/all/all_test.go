package all

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
)

func TestTypesAreInOrder(t *testing.T) {
	var names []string
	for _, typ := range Types(Services{}) {
		names = append(names, typ.Name)
		if (typ.Prepare == nil) != (typ.Unsupported != "") || (typ.Check == nil) != (typ.Unsupported != "") {
			t.Errorf("%s is neither supported nor unsupported", typ.Name)
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("the types are not in alphabetical order: %v", names)
	}
	c := New(Services{})
	seen := map[string]bool{}
	for _, typ := range c.Types() {
		for _, name := range append([]string{typ.Name}, typ.Aliases...) {
			if seen[name] {
				t.Errorf("two types are called %s", name)
			}
			seen[name] = true
		}
	}
}

func TestCatalogueFinds(t *testing.T) {
	c := New(Services{})
	if diff := cmp.Diff([]string{
		"archive", "broker", "brokers", "certificates", "connection", "consumers", "depot", "election", "exec", "expression", "facts", "file", "gossip", "governor", "identity", "ingest", "instances", "inventory", "journal_head", "kv", "leafnodes", "machine",
		"machines", "member", "plugins", "policy", "publish", "request", "schedule", "service", "signed_head", "spawn", "streams", "subscribe", "timer", "token", "transfer", "usage", "view",
	}, c.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"exec": "exec", "plugins": "machines", "gossip": "publish", "httpswitch": "http", "homekit": "homekit"} {
		found, ok := c.Find(name)
		if !ok || found.Name != want {
			t.Errorf("Find(%q) is %v, want %s", name, found, want)
		}
		if typ, ok := c.Type(name); !ok || typ.Name != want {
			t.Errorf("Type(%q) is not %s", name, want)
		}
	}
	if _, ok := c.Find("exce"); ok {
		t.Error("a type is found that does not exist")
	}
}

func TestPrepareRefuses(t *testing.T) {
	for name, code := range map[string]diag.Code{"exce": "SC201", "": "SC201", "homekit": "SC202", "nagios": "SC202", "exec": "SC021"} {
		prepared, list := New(Services{}).Prepare(&machine.WatcherSpec{Name: "w", Type: name, Strict: true})
		if prepared != nil || len(list) != 1 || list[0].Code != code || list[0].Hint == "" {
			t.Errorf("type %q gives %v, %v, want %s with a hint", name, prepared, list, code)
		}
	}
}

// TestPropertyCodes holds the documented examples of property codes against the types.
func TestPropertyCodes(t *testing.T) {
	c := New(Services{})
	tested := 0
	for _, e := range diag.Entries() {
		if e.Bad == "" || !(e.Code >= "SC250" && e.Code < "SC300" || e.Code >= "SC340" && e.Code < "SC400" || e.Code >= "SC430" && e.Code < "SC470") {
			continue
		}
		tested++
		if codes, list := codesOf(e.Bad, c); !slices.Equal(codes, []diag.Code{e.Code}) {
			t.Errorf("%s: the bad example gives %v:\n%v", e.Code, codes, list)
		}
		if codes, list := codesOf(e.Good, c); len(codes) > 0 {
			t.Errorf("%s: the good example gives %v:\n%v", e.Code, codes, list)
		}
	}
	if tested == 0 {
		t.Error("no code was tested")
	}
}

func codesOf(example string, c *Catalogue) (codes []diag.Code, list diag.List) {
	files := txtar.Parse([]byte(example)).Files
	if len(files) == 0 {
		files = []txtar.File{{Name: "machine.yaml", Data: []byte(example)}}
	}
	for _, f := range files {
		_, found := machine.Load(f.Name, f.Data, c)
		list = append(list, found...)
	}
	for _, d := range list {
		codes = append(codes, d.Code)
	}
	slices.Sort(codes)
	return slices.Compact(codes), list
}

// TestChoriaTypes holds that every type of existing manifests is known, if only to say what to do.
func TestChoriaTypes(t *testing.T) {
	c := New(Services{})
	for name := range strings.FieldsSeq("archive ccm_manifest exec expression file gossip homekit httpswitch kv machines metric nagios plugins schedule timer") {
		if _, ok := c.Find(name); !ok {
			t.Errorf("%s is not known", name)
		}
	}
}

var _ machine.Catalogue = (*Catalogue)(nil)

// TestSpecsAreDecodable decodes nothing into every type, which must name what is missing and never panic.
func TestSpecsAreDecodable(t *testing.T) {
	for _, typ := range Types(Services{}) {
		if typ.Unsupported != "" {
			continue
		}
		prepared, list := typ.Prepare(&machine.WatcherSpec{Name: "w", Type: typ.Name})
		if (prepared == nil) != list.HasErrors() {
			t.Errorf("%s: prepared %v with %v", typ.Name, prepared, list)
		}
	}
}
