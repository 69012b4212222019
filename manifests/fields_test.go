package manifests_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/manifests"
)

// readBody is an expression's use of a message's body: of all of it, or of the field behind it.
var readBody = regexp.MustCompile(`\b(?:message|event\.payload)\.body((?:\??\.[A-Za-z_]+)*)`)

// TestD23EveryFieldOfEveryRequestHasATypeAndASize walks the built-in machines: what a service, a forwarder, an adapter or a listener that starts instances
// reads of a body is declared in its fields, where each has a type and, as SC259 says, a size.
func TestD23EveryFieldOfEveryRequestHasATypeAndASize(t *testing.T) {
	found := 0
	for _, path := range files(t) {
		src, err := manifests.Files.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		manifest, problems := strict.Parse(path, src)
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		watchers := manifest.Get("watchers")
		if watchers == nil {
			continue
		}
		for _, w := range watchers.Items {
			reads := bodyFields(manifest, w)
			if len(reads) == 0 {
				continue
			}
			found++
			open, declared := declaredFields(w)
			for _, field := range reads {
				if !slices.Contains(declared, field) && !slices.ContainsFunc(open, func(in string) bool { return strings.HasPrefix(field, in+".") }) {
					t.Errorf("%s: it reads the field %q of a body, which it does not declare in fields", w.Pos, field)
				}
			}
		}
	}
	if found < 12 {
		t.Errorf("only %d listeners that read bodies were found: the test looks in the wrong place", found)
	}
}

// bodyFields are the fields of bodies that a watcher's expressions read, and those of the transitions that its requests fire; "" is the whole body.
func bodyFields(manifest, w *strict.Node) (fields []string) {
	properties := w.Get("properties")
	answered := false
	for _, key := range []string{"reply", "spawn", "relay", "forward"} {
		answered = answered || properties.Get(key) != nil
	}
	switch kind := w.Get("type").Value; {
	case kind == "service", kind == "spawn" && properties.Get("subject") != nil, kind == "subscribe" && properties.Get("forward") != nil:
	case kind == "ingest": // what it stores is the body
		return []string{""}
	default:
		return nil
	}
	texts := scalars(properties)
	if event := w.Get("success_transition"); event != nil && !answered {
		for _, transition := range manifest.Get("transitions").Items {
			if transition.Get("name").Value == event.Value {
				texts = append(texts, scalars(transition)...)
			}
		}
	}
	for _, text := range texts {
		for _, use := range readBody.FindAllStringSubmatch(text, -1) {
			fields = append(fields, strings.TrimPrefix(strings.ReplaceAll(use[1], "?", ""), "."))
		}
	}
	if properties.Get("forward") != nil && properties.Get("forward").Get("body") == nil {
		fields = append(fields, "") // all of it goes on
	}
	return fields
}

// declaredFields are the fields of a watcher, the whole body among them where there are any, and those that are open.
func declaredFields(w *strict.Node) (open, declared []string) {
	fields := w.Get("properties").Get("fields")
	if fields == nil {
		return nil, nil
	}
	declared = []string{""}
	for _, f := range fields.Items {
		declared = append(declared, f.Get("name").Value)
		if isOpen := f.Get("open"); isOpen != nil && isOpen.Value == "true" {
			open = append(open, f.Get("name").Value)
		}
	}
	return open, declared
}

// scalars are all texts in a node.
func scalars(n *strict.Node) (texts []string) {
	if n == nil {
		return nil
	}
	if n.Kind == strict.Scalar {
		return []string{n.Value}
	}
	for _, item := range n.Items {
		texts = append(texts, scalars(item)...)
	}
	for _, f := range n.Fields {
		texts = append(texts, scalars(f.Value)...)
	}
	return texts
}

// TestFreeTextsOfRequestsAreLines: what somebody writes for people is shown on terminals and in logs, so that it is refused at the service's door where it has control characters.
func TestFreeTextsOfRequestsAreLines(t *testing.T) {
	found := 0
	for _, path := range files(t) {
		src, err := manifests.Files.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		manifest, problems := strict.Parse(path, src)
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		if manifest.Get("watchers") == nil {
			continue
		}
		for _, w := range manifest.Get("watchers").Items {
			fields := w.Get("properties").Get("fields")
			if fields == nil || !slices.Contains([]string{"service", "subscribe"}, w.Get("type").Value) {
				continue
			}
			for _, f := range fields.Items {
				name, kind := f.Get("name").Value, f.Get("type").Value
				if !slices.Contains([]string{"by", "reason", "message", "comment"}, name[strings.LastIndex(name, ".")+1:]) {
					continue
				}
				found++
				if kind != "line" && kind != "name" {
					t.Errorf("%s: the field %s is a %s: make it a line", f.Pos, name, kind)
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d free texts were found: the test looks in the wrong place", found)
	}
}
