package machine

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// The codes of secrets that would not stay so.
const (
	codeSecretDefault diag.Code = "SC118" // data that is secret has a default that everybody can read
	codeSecretPath    diag.Code = "SC213" // a path that names no value that could be secret
	codeSecretCommand diag.Code = "SC214" // a secret among the arguments of a program
	codeSecretFlow    diag.Code = "SC305" // a set that writes a secret into data that is not
)

const secretPathHint = `write the keys that lead to the value, such as body.token, or "*" for all of it`

// secretDefaults finds secrets that are in the manifest itself.
func (c *checker) secretDefaults() {
	for _, f := range c.m.Data {
		if f.Secret && !empty(f.Default) {
			c.warn(codeSecretDefault, f.Pos, "leave the default empty, and have a watcher or an operator's event bring the value",
				"the default of %s, which is secret, is in clear for everybody who can read this file", f.Name)
		}
	}
}

// secretPaths finds paths under secret and secret_input that cannot lead anywhere, since a typing error there would be a leak.
func (c *checker) secretPaths() {
	for _, text := range c.m.SecretInput {
		if _, ok := readSecretPath(text); !ok {
			c.fault(codeSecretPath, c.m.place("secret_input"), secretPathHint, "%q is no path into the input", text)
		}
	}
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		fields := c.payloadFields(w)
		for _, text := range w.Secret {
			p, ok := readSecretPath(text)
			switch {
			case !ok:
				c.fault(codeSecretPath, w.Place("secret"), secretPathHint, "watcher %s: %q is no path into a payload", w.Name, text)
			case len(p) > 0 && len(fields) > 0 && !slices.Contains(fields, p[0]):
				c.fault(codeSecretPath, w.Place("secret"), hintFor(p[0], fields, "the fields are "+strings.Join(fields, ", ")),
					"watcher %s: the events of type %s carry no %q", w.Name, w.Type, p[0])
			}
		}
	}
}

// payloadFields are the fields that events of a watcher can carry, nil where the type does not say.
func (c *checker) payloadFields(w *WatcherSpec) []string {
	fields := map[string]bool{}
	for _, o := range outcomesOf(w, c.cat) {
		for name := range o.Payload {
			fields[name] = true
		}
	}
	return slices.Sorted(maps.Keys(fields))
}

// secretFlows finds assignments that take a secret to where everybody sees it. What only says whether something holds is not one.
func (c *checker) secretFlows() {
	if c.d.secrets == nil {
		return
	}
	for i, t := range c.m.Transitions {
		payload := c.d.secretPayload(t.Name)
		for j, a := range t.Set {
			if c.d.secrets.data[a.Key] {
				continue
			}
			for _, e := range c.d.rules[i].set[j].exprs {
				c.secretFlow(a, e, payload)
			}
		}
	}
}

func (c *checker) secretFlow(a Assignment, e *expression, payload secretPaths) {
	if e.err != nil || isBoolean(e) {
		return
	}
	for _, read := range readsOf(e.text) {
		if c.d.secrets.covers(read, payload) {
			c.warn(codeSecretFlow, a.Pos, "declare it as secret too: "+a.Key+": {secret: true}, or take only what everybody may see",
				"set %s: it reads %s, which is or holds a secret, and %s is not secret", a.Key, strings.Join(read, "."), a.Key)
			return
		}
	}
}

func isBoolean(e *expression) bool {
	t := e.program.Node().Type()
	return t != nil && t.Kind() == reflect.Bool
}

var lookupPattern = regexp.MustCompile("\\blookup\\s+[\"`]([^\"`]+)[\"`]")

// secretArguments finds secrets that a program is given as arguments, which every user of the host can read while it runs.
func (c *checker) secretArguments() {
	if c.d.secrets == nil {
		return
	}
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		t, known := findType(w, c.cat)
		if !known {
			continue
		}
		for _, key := range t.CommandLine {
			if n := w.Properties.Get(key); n != nil && n.Kind == strict.Scalar {
				c.secretArgument(w, key, n)
			}
		}
	}
}

func (c *checker) secretArgument(w *WatcherSpec, key string, n *strict.Node) {
	for _, read := range filledFrom(w, n.Value) {
		if len(read) > 0 && c.d.secrets.covers(read, nil) {
			c.warn(codeSecretCommand, n.Pos, "give it in environment, or on the standard input with input",
				"watcher %s: %s holds the secret %s, which everybody on the host can read while the command runs", w.Name, key, strings.Join(read, "."))
			return
		}
	}
}

// filledFrom returns the paths from which a property's text is filled in.
func filledFrom(w *WatcherSpec, text string) (paths []secretPath) {
	if w.Marked {
		pieces, _ := marks.Split(text)
		for _, p := range pieces {
			if p.Mark {
				paths = append(paths, readsOf(p.Text)...)
			}
		}
		return paths
	}
	for _, m := range lookupPattern.FindAllStringSubmatch(text, -1) {
		read := secretPath(strings.Split(m[1], "."))
		for i, part := range read { // from a pattern on, anything may be meant
			if strings.ContainsAny(part, "*?#@|") {
				read = read[:i]
				break
			}
		}
		paths = append(paths, read)
	}
	return paths
}
