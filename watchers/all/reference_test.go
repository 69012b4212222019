package all

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// TestReferenceIsUpToDate holds reference.json against the types and the comments of their properties.
func TestReferenceIsUpToDate(t *testing.T) {
	want := generate(t)
	if *update {
		if err := os.WriteFile("reference.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(referenceJSON)); diff != "" {
		t.Errorf("reference.json is stale; run go test ./watchers/all -run UpToDate -update (-want +got):\n%s", diff)
	}
}

var update = flag.Bool("update", false, "write reference.json anew")

func TestReferenceIsComplete(t *testing.T) {
	refs, err := References()
	if err != nil {
		t.Fatal(err)
	}
	var check func(path string, fields []Field)
	check = func(path string, fields []Field) {
		for _, f := range fields {
			if f.Doc == "" {
				t.Errorf("%s.%s is not documented", path, f.Name)
			}
			check(path+"."+f.Name, f.Fields)
		}
	}
	for _, r := range refs {
		check(r.Type, r.Fields)
		if r.Summary == "" {
			t.Errorf("%s has no summary", r.Type)
		}
		for _, o := range r.Outcomes {
			if o.Doc == "" {
				t.Errorf("outcome %s of %s is not documented", o.Name, r.Type)
			}
		}
	}
}

func TestMarkdown(t *testing.T) {
	text, err := Markdown()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n## timer\n", "| `timer` | duration | required | `timer` is how long the timer runs. At least 1s. |",
		"| `end` string, `start` string |", "| `http`, `httpswitch` |", "One of `none`, `once`.", "| `sources[].file` |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the reference does not contain %q", want)
		}
	}
	for line := range strings.Lines(text) {
		if cells := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); strings.HasPrefix(line, "|") && cells != 5 && cells != 3 {
			t.Errorf("a row of %d bars: %s", cells, line)
		}
	}
}

// generate makes the reference as it should be.
func generate(t *testing.T) []byte {
	t.Helper()
	var refs []Reference
	comments := map[string]map[string]string{}
	for _, typ := range Types(Services{}) {
		if typ.Unsupported != "" {
			continue
		}
		refs = append(refs, Reference{
			Type: typ.Name, Aliases: typ.Aliases, Summary: typ.Summary,
			Outcomes: outcomes(typ), Fields: fields(t, reflect.TypeOf(typ.Spec), comments),
		})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(refs); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func outcomes(t watchers.Type) []Outcome {
	var out []Outcome
	for _, o := range t.Outcomes {
		var fields map[string]string
		for name, kind := range o.Payload {
			if fields == nil {
				fields = map[string]string{}
			}
			fields[name] = string(kind)
		}
		out = append(out, Outcome{Name: o.Name, Fires: event(o), Payload: fields, Doc: o.Doc})
	}
	return out
}

func event(o machine.Outcome) string {
	switch {
	case o.Event != "":
		return o.Event
	case o.Class == machine.Success:
		return "success_transition"
	case o.Class == machine.Failure:
		return "fail_transition"
	default:
		return ""
	}
}

// fields documents the keys of a struct. Types that read themselves are looked into as well.
func fields(t *testing.T, typ reflect.Type, comments map[string]map[string]string) []Field {
	t.Helper()
	docs := commentsOf(t, typ, comments)
	var out []Field
	for _, f := range strict.Fields(reflect.New(typ).Interface()) {
		sf, owner := holderOf(typ, f.GoName)
		var inner []Field
		if nested := structIn(sf.Type); nested != nil {
			inner = fields(t, nested, comments)
		}
		f.Type = typeText(f, inner)
		out = append(out, newField(f, docText(f, docs[owner+"."+f.GoName]), inner))
	}
	return out
}

// holderOf finds the field of a key and the name of the struct that it is written in, which may stand inline.
func holderOf(typ reflect.Type, name string) (reflect.StructField, string) {
	if f, ok := typ.FieldByName(name); ok && len(f.Index) == 1 {
		return f, typ.Name()
	}
	for i := range typ.NumField() {
		if f := typ.Field(i); f.Tag.Get("yaml") == ",inline" {
			if found, owner := holderOf(f.Type, name); found.Name != "" {
				return found, owner
			}
		}
	}
	return reflect.StructField{}, ""
}

// structIn returns the struct with keys that a property holds, nil for none.
func structIn(typ reflect.Type) reflect.Type {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[strict.Node]() || len(strict.Fields(reflect.New(typ).Interface())) == 0 {
		return nil
	}
	return typ
}

// typeText replaces what strict says of types that read themselves.
func typeText(f strict.FieldInfo, inner []Field) string {
	switch {
	case f.Type == "any" && len(inner) > 0:
		return "mapping"
	case f.Type == "list of any values" && len(inner) > 0:
		return "list of mappings"
	case f.Type == "any":
		return "string"
	default:
		return f.Type
	}
}

// docText is a comment on one line, which speaks of the key instead of the Go field.
func docText(f strict.FieldInfo, comment string) string {
	text := strings.Join(strings.Fields(comment), " ")
	if rest, ok := strings.CutPrefix(text, f.GoName+" "); ok {
		return "`" + f.Name + "` " + rest
	}
	return text
}

// commentsOf returns the comments on the fields of the structs of typ's package, by Struct.Field.
func commentsOf(t *testing.T, typ reflect.Type, cache map[string]map[string]string) map[string]string {
	t.Helper()
	if docs, ok := cache[typ.PkgPath()]; ok {
		return docs
	}
	_, below, _ := strings.Cut(typ.PkgPath(), "/watchers")
	sources, err := filepath.Glob(filepath.Join("..", below, "*.go"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources of %s: %v", typ.PkgPath(), err)
	}
	docs := map[string]string{}
	for _, name := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.GenDecl); ok {
				structComments(d, docs)
			}
		}
	}
	cache[typ.PkgPath()] = docs
	return docs
}

func structComments(d *ast.GenDecl, docs map[string]string) {
	for _, spec := range d.Specs {
		ts, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		st, ok := ts.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range st.Fields.List {
			for _, name := range f.Names {
				docs[ts.Name.Name+"."+name.Name] = f.Doc.Text()
			}
		}
	}
}
