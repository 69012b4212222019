package main

import (
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime/control"
	"github.com/statecraft-io/statecraft/runtime/overlay"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// printed are the types behind the sections of docs/json.md that list fields.
func printed() map[string]any {
	return map[string]any{
		"check": diag.Diagnostic{}, "docs": docsResult{}, "explain": explainResult{}, "fire": control.FireAnswer{}, "fmt": fmtResult{},
		"graph": graphResult{}, "new": newResult{}, "record": machine.Record{}, "replay": replayResult{},
		"states": statesResult{}, "states MACHINE": stateResult{}, "test": testResult{}, "test --mutate": mutateResult{}, "trace export": traceResult{}, "trace heads": headsResult{}, "trace verify": traceVerifyResult{},
		"keys new": keyResult{}, "token issue join": tokenIssued{}, "token inspect": tokenInspected{}, "token revoke": revokedResult{}, "token revoked": revokedList{},
		"node show": nodeShown{}, "fleet ls": fleetResult{}, "fleet show": nodeRecord{}, "fleet inventory": inventoryResult{}, "fleet hosts": fleetHostsResult{}, "fleet machines": machinesResult{}, "fleet approve": changedNode{}, "fleet reprovision": reprovisionResult{},
		"publish": publishResult{}, "sign": signResult{}, "sign DIR": signedFolder{}, "verify": verifyResult{}, "verify of a host": hostVerified{}, "registry ls": registryResult{}, "registry show": specResult{},
		"registry history": historyResult{}, "registry diff": diffResult{}, "keys rotate": rotateResult{},
		"demo": demoResult{}, "emulate": emulateResult{}, "overlay init": overlayInitResult{}, "overlay rotate": overlay.Rotated{},
		"version": versionResult{}, "watchers": all.Reference{}, "why": whyResult{},
	}
}

// TestJSONDocumentListsEveryField holds docs/json.md against the types: every field once, and optional where it can
// be left out.
func TestJSONDocumentListsEveryField(t *testing.T) {
	documented := fieldTables(t, read(t, root+"/docs/json.md"))
	types := printed()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(types)), slices.Sorted(maps.Keys(documented))); diff != "" {
		t.Errorf("sections with fields: -types +document\n%s", diff)
	}
	for section, v := range types {
		fields := map[string]bool{}
		jsonFields(reflect.TypeOf(v), "", nil, fields)
		if diff := cmp.Diff(fields, resolved(t, section, documented[section], fields)); diff != "" {
			t.Errorf("%s: field to optional, -type +document\n%s", section, diff)
		}
	}
}

// TestJSONDocumentKnowsEveryVerb fails for a verb that nobody has described.
func TestJSONDocumentKnowsEveryVerb(t *testing.T) {
	text := read(t, root+"/docs/json.md")
	p, err := newParser(t.Output(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range p.Model.Leaves(true) {
		name := strings.TrimPrefix(verb.FullPath(), "statecraft ")
		if !strings.Contains(text, "\n## "+name+"\n") {
			t.Errorf("docs/json.md has no section %q", name)
		}
	}
}

// fieldTables reads the rows of each section that has a table: field, which may have stars, to optional.
func fieldTables(t *testing.T, text string) map[string]map[string]bool {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| (`[^|]*) \\| ([^|]*) \\|")
	name := regexp.MustCompile("`([^`]+)`")
	tables := map[string]map[string]bool{}
	for _, section := range strings.Split(text, "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		for _, r := range row.FindAllStringSubmatch(body, -1) {
			if tables[title] == nil {
				tables[title] = map[string]bool{}
			}
			for _, n := range name.FindAllStringSubmatch(r[1], -1) {
				if _, twice := tables[title][n[1]]; twice {
					t.Errorf("%s: %s is there twice", title, n[1])
				}
				tables[title][n[1]] = strings.Contains(r[2], "optional")
			}
		}
	}
	return tables
}

// resolved puts the fields that stars stand for in their place.
func resolved(t *testing.T, section string, rows, fields map[string]bool) map[string]bool {
	t.Helper()
	slashed := func(s string) string { return strings.ReplaceAll(s, ".", "/") }
	out := map[string]bool{}
	for row, optional := range rows {
		if !strings.Contains(row, "*") {
			out[row] = optional
			continue
		}
		for field := range fields {
			if ok, err := path.Match(slashed(row), slashed(field)); err != nil {
				t.Fatalf("%s: %s: %v", section, row, err)
			} else if ok {
				out[field] = optional
			}
		}
	}
	return out
}

// jsonFields collects the fields that encoding/json writes for a type, and whether it may leave them out. Types with a
// section of their own are not entered, nor is one inside of itself.
func jsonFields(typ reflect.Type, prefix string, within []reflect.Type, into map[string]bool) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	sections := []reflect.Type{reflect.TypeFor[diag.Diagnostic](), reflect.TypeFor[machine.Record](), reflect.TypeFor[specResult]()}
	own := prefix != "" && slices.Contains(sections, typ)
	if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() || own || slices.Contains(within, typ) {
		return
	}
	within = append(slices.Clip(within), typ)
	for f := range typ.Fields() {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && tag == "":
			jsonFields(f.Type, prefix, within, into)
		case f.IsExported() && tag != "-":
			into[prefix+tag] = strings.Contains(options, "omit")
			jsonFields(f.Type, prefix+tag+".", within, into)
		}
	}
}
