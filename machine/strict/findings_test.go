package strict

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/statecraft-io/statecraft/machine/diag"
)

func TestFindings(t *testing.T) {
	for _, tc := range []struct{ src, want, hint string }{
		{"flag: yes", `f.yaml:1:7: SC024 flag: "yes" is not a boolean`, "write true or false"},
		{"flag: 1", `f.yaml:1:7: SC024 flag: "1" is not a boolean`, "write true or false"},
		{"port: x", `f.yaml:1:7: SC024 port: "x" is not an integer`, "write a whole number such as 10"},
		{"port: 80.0", `f.yaml:1:7: SC024 port: "80.0" is not an integer`, "write a whole number such as 10"},
		{"port: 010", `f.yaml:1:7: SC024 port: "010" is not an integer`, "write it without the leading zero, or with 0o before it if it is octal"},
		{"port: 0", "f.yaml:1:7: SC026 port: 0 is below the minimum of 1", "write 1 or more"},
		{"p: 65536", "f.yaml:1:4: SC026 port: 65536 is above the maximum of 65535", "write 65535 or less"},
		{"small: 128", "f.yaml:1:8: SC026 small: 128 is out of range", "write a number from -128 to 127"},
		{"count: -1", "f.yaml:1:8: SC026 count: -1 is out of range", "write a number from 0 to 65535"},
		{"count: 65536", "f.yaml:1:8: SC026 count: 65536 is out of range", "write a number from 0 to 65535"},
		{"ratio: 2", "f.yaml:1:8: SC026 ratio: 2 is above the maximum of 1.5", "write 1.5 or less"},
		{"ratio: .nan", `f.yaml:1:8: SC024 ratio: ".nan" is not a number`, "write a number such as 0.5"},
		{"interval: 10", `f.yaml:1:11: SC025 interval: "10" is not a duration: "10" has no unit`, "write 10s if seconds are meant"},
		{"interval: 1d1h", "f.yaml:1:11: SC026 interval: 1d1h is above the maximum of 1d", "write 1d or less"},
		{"interval: 100ms", "f.yaml:1:11: SC026 interval: 100ms is below the minimum of 500ms", "write 500ms or more"},
		{"timeout: -5", `f.yaml:1:10: SC025 timeout: "-5" is not a duration: it is negative`, "write it as 30s, 5m, 1h30m, 2d or 1w"},
		{"timeout: soon", `f.yaml:1:10: SC025 timeout: "soon" is not a duration: "soon" is not a number followed by a unit`, "write it as 30s, 5m, 1h30m, 2d or 1w"},
		{"kind: wacth", `f.yaml:1:7: SC027 kind: "wacth" is not one of poll, watch`, `did you mean "watch"?`},
		{"kind: inotify", `f.yaml:1:7: SC027 kind: "inotify" is not one of poll, watch`, "write one of poll, watch"},
		{"template: c", `f.yaml:1:11: SC027 template: "c" is not one of a, b`, "write one of a, b"},
		{"modes: [poll, x]", `f.yaml:1:15: SC027 modes: "x" is not one of poll, watch`, "write one of poll, watch"},
		{"numbers: [1, 0]", "f.yaml:1:14: SC026 numbers: 0 is below the minimum of 1", "write 1 or more"},
		{"list: a", "f.yaml:1:7: SC023 list: expected a list of strings, found a single value", "write a list: [a]"},
		{"list: 'a, b'", "f.yaml:1:7: SC023 list: expected a list of strings, found a single value", `write a list: ["a, b"]`},
		{"list: {a: b}", "f.yaml:1:7: SC023 list: expected a list of strings, found a mapping", `start each entry with "- "`},
		{"list: [[a]]", "f.yaml:1:8: SC023 list: expected a string, found a list", "write one value, in quotes if it holds special characters"},
		{"list: [a, ~]", "f.yaml:1:11: SC028 list: there is no value", "write a value or remove the entry"},
		{"labels: [a]", "f.yaml:1:9: SC023 labels: expected a map of strings, found a list", `write keys and values, such as "key: value"`},
		{"labels: {a: ~}", "f.yaml:1:13: SC028 a: there is no value", "write a value or remove the entry"},
		{"after: {x: 3}", `f.yaml:1:12: SC025 x: "3" is not a duration: "3" has no unit`, "write 3s if seconds are meant"},
		{"text: [a]", "f.yaml:1:7: SC023 text: expected a string, found a list", "write one value, in quotes if it holds special characters"},
		{"nested: a", "f.yaml:1:9: SC023 nested: expected a mapping, found a single value", `write keys and values, such as "key: value"`},
		{"inners: [~]", "f.yaml:1:10: SC028 inners: there is no value", "write a value or remove the entry"},
		{"nested: {size: 1}", `f.yaml:1:9: SC021 the key "name" is missing`, `add "name: ..."`},
		{"pointer: {name: }", "f.yaml:1:17: SC028 name: there is no value", "write a string"},
		{"port: 1\np: 2", `f.yaml:2:1: SC022 "p" is another name of "port", which is given on line 1`, "remove one of them"},
		{"rate: 5", `f.yaml:1:7: SC900 "5" is not a rate`, "write 10/s"},
		{"nested: {name: a, szie: 1}", `f.yaml:1:19: SC020 unknown key "szie"`, `did you mean "size"?`},
		{"nested: {name: a, colour: 1}", `f.yaml:1:19: SC020 unknown key "colour"`, "known keys: name, size"},
		{"intervall: 1s", `f.yaml:1:1: SC020 unknown key "intervall"`, `did you mean "interval"?`},
		{"port_nmber: 1", `f.yaml:1:1: SC020 unknown key "port_nmber"`, `did you mean "port_number"?`},
		{"Hidden: 1", `f.yaml:1:1: SC020 unknown key "Hidden"`, "remove it"},
		{"[a]", "f.yaml:1:1: SC023 the value: expected a mapping, found a list", `write keys and values, such as "key: value"`},
	} {
		var target everything
		list := decode(t, tc.src, &target, Options{})
		if len(list) != 1 {
			t.Errorf("%q: findings %v, want one", tc.src, list)
			continue
		}
		if diff := cmp.Diff([]string{tc.want, tc.hint}, []string{list[0].String(), list[0].Hint}); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.src, diff)
		}
	}
}

func TestNoKeysAtAll(t *testing.T) {
	list := decode(t, "a: 1", &struct{}{}, Options{Unknown: diag.Note})
	if len(list) != 1 || list[0].Severity != diag.Note || list[0].Hint != "there are no keys here; remove it" {
		t.Errorf("findings %+v", list)
	}
}

// Six misspelled keys of six, each with its place, beside everything else that is wrong.
func TestC20MisspelledKeys(t *testing.T) {
	type watcher struct {
		Name     string   `yaml:"name,required"`
		Type     string   `yaml:"type,required"`
		States   []string `yaml:"state_match"`
		Interval Duration `yaml:"interval"`
		Success  string   `yaml:"success_transition"`
		Fail     string   `yaml:"fail_transition"`
		Timeout  Duration `yaml:"timeout"`
	}
	src := `watchers:
  - nam: a
    typ: exec
    stat_match: [x]
    intervall: 10
    succes_transition: ok
    fail_transitions: bad
    timeout: 10
`
	var target struct {
		Watchers []watcher `yaml:"watchers"`
	}
	list := decode(t, src, &target, Options{Unknown: diag.Warning})
	want := []string{
		`f.yaml:2:5: SC020 warning: unknown key "nam"` + ` did you mean "name"?`,
		`f.yaml:2:5: SC021 the key "name" is missing` + ` add "name: ..."`,
		`f.yaml:2:5: SC021 the key "type" is missing` + ` add "type: ..."`,
		`f.yaml:3:5: SC020 warning: unknown key "typ"` + ` did you mean "type"?`,
		`f.yaml:4:5: SC020 warning: unknown key "stat_match"` + ` did you mean "state_match"?`,
		`f.yaml:5:5: SC020 warning: unknown key "intervall"` + ` did you mean "interval"?`,
		`f.yaml:6:5: SC020 warning: unknown key "succes_transition"` + ` did you mean "success_transition"?`,
		`f.yaml:7:5: SC020 warning: unknown key "fail_transitions"` + ` did you mean "fail_transition"?`,
		`f.yaml:8:14: SC025 timeout: "10" is not a duration: "10" has no unit` + ` write 10s if seconds are meant`,
	}
	var got []string
	for _, d := range list {
		got = append(got, d.String()+" "+d.Hint)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}
