package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// unknownReads finds templates and expressions of properties that read data which nobody declares or sets: they never have a value. In format 2 they do
// not compile.
func (c *checker) unknownReads() {
	if !c.d.closedData() || c.m.Marked() {
		return
	}
	keys := c.dataKeys()
	if keys[AnyKey] {
		return
	}
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		var expressions []string
		if t, known := findType(w, c.cat); known {
			expressions = t.Expressions
		}
		if w.Properties == nil {
			continue
		}
		for _, f := range w.Properties.Fields {
			if slices.Contains(expressions, f.Key) && f.Value.Kind == strict.Scalar {
				c.reads(w, f.Key, f.Value.Pos, readsOf(f.Value.Value), keys)
			} else {
				c.templateReads(w, f.Key, f.Value, keys)
			}
		}
	}
}

// dataKeys are the keys of data that are declared, or that watchers set.
func (c *checker) dataKeys() map[string]bool {
	keys := c.watcherKeys()
	for key := range c.d.types {
		keys[key] = true
	}
	return keys
}

// watcherKeys are the keys of data that watchers set, with AnyKey where not all are known.
func (c *checker) watcherKeys() map[string]bool {
	keys := map[string]bool{}
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		t, known := findType(w, c.cat)
		if !known {
			keys[AnyKey] = true
			continue
		}
		if t.Sets != nil {
			for _, key := range t.Sets(w) {
				keys[key] = true
			}
		}
	}
	return keys
}

// fieldPattern finds a template that reads a field, as Go's own do. In a loop there are such.
var (
	fieldPattern = regexp.MustCompile(`\{\{-?\s*(?:[A-Za-z0-9]+\s+)*(\.[A-Za-z][A-Za-z0-9_.]*)`)
	loopPattern  = regexp.MustCompile(`\{\{-?\s*(?:range|with)\b`)
)

// templateFields finds templates that read fields: theirs is no value but the words "no value".
func (c *checker) templateFields() {
	if c.m.Marked() { // which has no templates
		return
	}
	for i := range c.m.Watchers {
		if w := &c.m.Watchers[i]; w.Properties != nil {
			c.fieldsIn(w, "properties", w.Properties)
		}
	}
}

func (c *checker) fieldsIn(w *WatcherSpec, key string, n *strict.Node) {
	if m := fieldPattern.FindStringSubmatch(n.Value); n.Kind == strict.Scalar && m != nil && !loopPattern.MatchString(n.Value) {
		name := strings.ToLower(strings.TrimPrefix(m[1], "."))
		c.warn("SC429", n.Pos, fmt.Sprintf("write {{ lookup %q \"\" }}", name),
			"watcher %s: %s: a template has no field %s: it gives <no value>", w.Name, key, m[1])
	}
	for _, item := range n.Items {
		c.fieldsIn(w, key, item)
	}
	for _, f := range n.Fields {
		c.fieldsIn(w, f.Key, f.Value)
	}
}

// templateReads looks at the lookups of every text below a property.
func (c *checker) templateReads(w *WatcherSpec, key string, n *strict.Node, keys map[string]bool) {
	if n.Kind == strict.Scalar && strings.Contains(n.Value, "{{") {
		var reads []secretPath
		for _, m := range lookupPattern.FindAllStringSubmatch(n.Value, -1) {
			if !strings.ContainsAny(m[1], "*?#@|") {
				reads = append(reads, strings.Split(m[1], "."))
			}
		}
		c.reads(w, key, n.Pos, reads, keys)
	}
	for _, item := range n.Items {
		c.templateReads(w, key, item, keys)
	}
	for _, f := range n.Fields {
		c.templateReads(w, key, f.Value, keys)
	}
}

func (c *checker) reads(w *WatcherSpec, property string, at diag.Position, reads []secretPath, keys map[string]bool) {
	for _, read := range reads {
		if len(read) > 1 && read[0] == "data" && !keys[read[1]] {
			c.proven("SC427", at, hintFor(read[1], slices.Sorted(maps.Keys(keys)), "declare it under data"),
				"watcher %s: %s reads data.%s, which is not declared and no watcher sets", w.Name, property, read[1])
			return
		}
	}
}

// missingPrograms finds programs that are to be in the manifest's folder, and are not.
func (c *checker) missingPrograms() {
	if c.files == nil || !c.m.Strict() {
		return
	}
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		t, known := findType(w, c.cat)
		if !known || t.Programs == nil {
			continue
		}
		for _, name := range t.Programs(w) {
			if _, err := c.files(path.Clean(name)); errors.Is(err, fs.ErrNotExist) {
				c.warn("SC428", w.Place("properties"), "put it there, or write the path of one that every host has",
					"watcher %s: there is no %s in the machine's folder", w.Name, path.Clean(name))
			}
		}
	}
}
