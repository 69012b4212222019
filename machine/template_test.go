package machine

import (
	"strings"
	"testing"
	"time"
)

func templateLookup(path string, fallback any) any {
	values := map[string]any{
		"facts.os": "linux", "data.list": []any{"a", 1, true}, "data.count": 3, "data.evil": `{{ lookup "facts.os" }}; rm -rf /`,
	}
	if v, ok := values[path]; ok {
		return v
	}
	return fallback
}

func TestExpandTemplate(t *testing.T) {
	for text, want := range map[string]string{
		"plain } text":                                                               "plain } text",
		`{{ lookup "facts.os" "none" }}`:                                             "linux",
		`{{ lookup "facts.missing" "none" }}`:                                        "none",
		`{{ lookup "data.count" 0 }}`:                                                "3",
		`{{ lookup "facts.os" "" | ToUpper }}`:                                       "LINUX",
		`{{ ToLower "ABC" }}`:                                                        "abc",
		`{{ Title "the quick-brown fox's den_x" }}`:                                  "The Quick-Brown Fox's Den_x",
		`{{ Capitalize "the quick fox" }}{{ Capitalize "" }}`:                        "The quick fox",
		`{{ Capitalize "été" }}`:                                                     "Été",
		`{{ StringJoin (lookup "data.list" "") "," }}`:                               "a,1,true",
		`{{ lookup "data.list" "" | StringJoin "-" }}`:                               "a-1-true",
		`{{ Base64Encode "hi" }}{{ Base64Decode "aGk=" }}`:                           "aGk=hi",
		`{{ lookup "data.evil" "" }}`:                                                `{{ lookup "facts.os" }}; rm -rf /`,
		`{{ range lookup "data.list" "" }}[{{ . }}]{{ end }}`:                        "[a][1][true]",
		`{{ if eq (lookup "facts.os" "") "linux" }}y{{ else }}n{{ end }}`:            "y",
		`{{ printf "%s-%d" "x" 2 }}`:                                                 "x-2",
		`{{ with lookup "facts.os" "" }}{{ range 3 }}{{ . }}{{ end }}{{ . }}{{end}}`: "012linux",
	} {
		got, err := ExpandTemplate(text, templateLookup)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
		if err := CheckTemplate(text); err != nil {
			t.Errorf("%s: the check refuses it: %v", text, err)
		}
	}
}

func TestCheckTemplateRefuses(t *testing.T) {
	for _, text := range []string{
		`{{ lookup "a" }`, `{{ nothing }}`, `{{ define "x" }}{{ end }}`, `{{ block "x" . }}{{ end }}`, `{{ template "template" }}`,
		`{{ if true }}{{ range 3 }}{{ template "template" }}{{ end }}{{ end }}`, `{{ range }}`, `{{ env "HOME" }}`,
	} {
		if CheckTemplate(text) == nil {
			t.Errorf("%s: not refused", text)
		}
		if _, err := ExpandTemplate(text, templateLookup); err == nil {
			t.Errorf("%s: expanded", text)
		}
	}
}

func TestTemplatesAreBounded(t *testing.T) {
	for name, text := range map[string]string{
		"rounds":        `{{ range 1000000000 }}{{ end }}`,
		"nested rounds": `{{ range 99999 }}{{ range 99999 }}{{ end }}{{ end }}`,
		"output":        `{{ range 99999 }}xxxxxxxxxxxxxxxxxxxxxx{{ end }}`,
		"doubling":      `{{ $x := "xx" }}{{ range 64 }}{{ $x = print $x $x }}{{ end }}`,
		"width":         `{{ $x := printf "%999999d" 1 }}{{ printf "%s%s%s" $x $x $x }}`,
		"bad base64":    `{{ Base64Decode "!" }}`,
		"no list":       `{{ StringJoin 1 2 }}`,
	} {
		begin := time.Now()
		if _, err := ExpandTemplate(text, templateLookup); err == nil {
			t.Errorf("%s: no error", name)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(`{{ lookup "facts.os" "x" | Title }}`)
	f.Add(`{{ range lookup "data.list" "" }}{{ . }}{{ break }}{{ end }}`)
	f.Add(`{{ $x := StringJoin "," (lookup "data.list" "") }}{{ with $x }}{{ . }}{{ else }}{{ end }}`)
	f.Fuzz(func(t *testing.T, text string) {
		out, err := ExpandTemplate(text, templateLookup)
		if err == nil && strings.Contains(text, "{{") && CheckTemplate(text) != nil {
			t.Error("expanded what the check refuses")
		}
		if len(out) > maxTemplateOutput && len(text) <= maxTemplateOutput {
			t.Errorf("%d bytes of output", len(out))
		}
	})
}

func FuzzExpression(f *testing.F) {
	f.Add("data.n > 2 && event.payload.list[0] == 'x'")
	f.Add("let a = 1..100; sum(filter(a, # % 2 == 0), # * data.n)")
	f.Add("string(at) + toJSON(data) ?? 'x'")
	d := &Definition{Manifest: &Manifest{}, types: map[string]ValueType{"n": Integer}}
	c := exprCompiler{d: d, data: d.dataType()}
	f.Fuzz(func(t *testing.T, text string) {
		e := compileExpr(text, c.ruleTypes("e"))
		if e.err != nil {
			if strings.Contains(exprMessage(e.err), "goroutine ") {
				t.Errorf("a stack in a message: %v", e.err)
			}
			return
		}
		env := func() map[string]any {
			env := expressionEnv(d, &Snapshot{State: "a"}, map[string]any{"n": 3, "o": map[string]any{"x": 1, "y": 2}}, testTime)
			env["event"] = map[string]any{"name": "e", "outcome": "", "payload": map[string]any{"list": []any{"x", 1.5}}}
			return env
		}
		a, errA := e.value(env())
		b, errB := e.value(env())
		if toJSON(a) != toJSON(b) || (errA == nil) != (errB == nil) || errA != nil && errA.Error() != errB.Error() {
			t.Errorf("two evaluations differ: %v, %v and %v, %v", a, errA, b, errB)
		}
	})
}

// TestPlainLookupsAreNoOtherTemplates holds the short way of a template that only looks values up against the long one.
func TestPlainLookupsAreNoOtherTemplates(t *testing.T) {
	for _, v := range []any{nil, "", "a b", "<&>", 3, 1.5, true, []any{1, "x"}, map[string]any{"k": 1}} {
		lookup := func(string, any) any { return v }
		short, errShort := ExpandTemplate(`x{{ lookup "data.a" "d" }}y{{lookup "data.b"}}`, lookup)
		long, errLong := ExpandTemplate(`x{{ $a := lookup "data.a" "d" }}{{ $a }}y{{ $b := lookup "data.b" }}{{ $b }}`, lookup)
		if short != long || (errShort == nil) != (errLong == nil) {
			t.Errorf("%#v: %q %v, and %q %v", v, short, errShort, long, errLong)
		}
	}
}
