package machine

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const compared = `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: go, from: [idle], destination: busy}
  - {name: done, from: [busy], destination: idle}
watchers:
  - {name: look, type: timer, state_match: [idle], fail_transition: go, properties: {timer: 1m}}
  - {name: end, type: timer, state_match: [busy], fail_transition: done, properties: {timer: 2m}}
`

func compiled(t *testing.T, src string) *Definition {
	t.Helper()
	def, problems := Load("yaml", []byte(src), checkTypes())
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return def
}

func TestCompare(t *testing.T) {
	for name, test := range map[string]struct {
		replace []string
		want    []string
	}{
		"the same": {nil, nil},
		"laid out otherwise": {[]string{
			"  - {name: go, from: [idle], destination: busy}\n", "  # begins\n  - name: go\n    destination: busy\n    from: [idle]\n",
		}, nil},
		"another order of what has names": {[]string{
			"  - {name: go, from: [idle], destination: busy}\n  - {name: done, from: [busy], destination: idle}\n",
			"  - {name: done, from: [busy], destination: idle}\n  - {name: go, from: [idle], destination: busy}\n",
		}, nil},
		"a value": {[]string{"timer: 1m", "timer: 5m", "1.0.0", "1.1.0"}, []string{
			"~ version: 1.0.0 -> 1.1.0", "~ watchers.look.properties.timer: 1m -> 5m",
		}},
		"a list":     {[]string{"from: [busy]", "from: [busy, idle]"}, []string{"~ transitions.done.from: [busy] -> [busy, idle]"}},
		"a property": {[]string{"{timer: 1m}", "{timer: 1m, splay: true}"}, []string{"+ watchers.look.properties.splay: true"}},
		"a watcher more": {[]string{"  - {name: end", "  - {name: more, type: timer, properties: {timer: 1h}}\n  - {name: end"}, []string{
			"+ watchers.more: type timer",
		}},
		"a transition gone": {[]string{"  - {name: go, from: [idle], destination: busy}\n", ""}, []string{"- transitions.go: destination busy"}},
	} {
		t.Run(name, func(t *testing.T) {
			from := &Manifest{Source: []byte(compared)}
			to := &Manifest{Source: []byte(strings.NewReplacer(test.replace...).Replace(compared))}
			var got []string
			for _, d := range Compare(from, to) {
				got = append(got, d.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestA12DroppedStates(t *testing.T) {
	old := compiled(t, compared)
	if d := compiled(t, compared).Dropped(old); d != nil {
		t.Errorf("the same version drops %v", d)
	}
	renamed := strings.ReplaceAll(compared, "busy", "working")
	if diff := cmp.Diff([]string{"busy"}, compiled(t, renamed).Dropped(old)); diff != "" {
		t.Error(diff)
	}
	mapped := renamed + "upgrade: {from: \">=1.0\", map: {busy: working}}\n"
	if d := compiled(t, mapped).Dropped(old); d != nil {
		t.Errorf("with a map it drops %v", d)
	}
}
