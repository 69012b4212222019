package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// cellAnswers are the answers of three hosts, a, b and c, that any one may be stopped of. Pairs of texts replace what they say.
func cellAnswers(t *testing.T, change ...string) []hostAnswer {
	t.Helper()
	const cell = `[
{"host": "a", "machine": "join", "state": "member", "settings": {"hosts": 3}}, {"host": "a", "machine": "streams", "state": "steady"},
{"host": "a", "machine": "health", "state": "well", "broker": {"current": true, "leader": "a", "leads": ["KV_NODES", "JOBS"], "lag": {"b": 0, "c": 0},
 "held": {"KV_NODES": 99, "JOBS": 0}, "copies": {"KV_NODES": 3, "JOBS": 3}, "leaderless": [], "hosts": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}},
{"host": "b", "machine": "join", "state": "member", "settings": {"hosts": 3}}, {"host": "b", "machine": "streams", "state": "steady"},
{"host": "b", "machine": "health", "state": "well", "broker": {"current": true, "held": {"KV_NODES": 99, "JOBS": 0}}},
{"host": "c", "machine": "join", "state": "member", "settings": {"hosts": 3}}, {"host": "c", "machine": "streams", "state": "steady"},
{"host": "c", "machine": "health", "state": "well", "broker": {"held": {"KV_NODES": 99, "JOBS": 0}, "current": true}}
]`
	text := strings.NewReplacer(change...).Replace(cell)
	if len(change) > 0 && text == cell {
		t.Fatal("nothing is changed")
	}
	var answers []hostAnswer
	if err := json.Unmarshal([]byte(text), &answers); err != nil {
		t.Fatal(err)
	}
	return answers
}

// TestFleetHostsShowsWhatIsPublishedForHostsAndWhatIsRefused puts together what deployers say, one of which refuses a list.
func TestFleetHostsShowsWhatIsPublishedForHostsAndWhatIsRefused(t *testing.T) {
	answers := cellAnswers(t)
	for _, text := range []string{
		`{"host": "a", "machine": "deployer", "state": "settled", "serial": 7, "names": ["health", "one", "two", "web"], "unknown": [], "refused": "", "reason": ""}`,
		`{"host": "b", "machine": "deployer", "state": "holding", "serial": 6, "names": ["web"], "unknown": ["odd"], "refused": "unsigned", "reason": "one of two signatures is there"}`,
	} {
		var a hostAnswer
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	r := hostsOf(answers)
	for i, want := range []string{
		"runs what is published for hosts (list 7): health, one, two; and 1 more, which --json names",
		"runs what is published for hosts (list 6): web; refuses what is published for hosts (unsigned): one of two signatures is there",
		"",
	} {
		if got := r.Hosts[i].said(); got != want {
			t.Errorf("%s says %q, not %q", r.Hosts[i].Host, got, want)
		}
	}
	if p := r.Hosts[1].Published; p == nil || p.State != "holding" || len(p.Unknown) != 1 || r.Hosts[2].Published != nil {
		t.Errorf("%+v", r.Hosts)
	}
}

// TestH67FleetHostsEndsWithZeroOnlyWhenAnyHostMayBeStopped: who stops one earlier may be left with empty copies.
func TestH67FleetHostsEndsWithZeroOnlyWhenAnyHostMayBeStopped(t *testing.T) {
	for name, c := range map[string]struct {
		change []string
		want   string
	}{
		"all is there":              {},
		"a host is not current":     {[]string{`"JOBS": 0}, "current": true`, `"JOBS": 0}, "current": false`}, "2 of 3 hosts are well and current: c does not have all that the others have"},
		"a host is behind":          {[]string{`"c": 0`, `"c": 99`}, "2 of 3 hosts are well and current: c is 99 messages behind"},
		"a host serves nobody yet":  {[]string{`"host": "b", "machine": "join", "state": "member"`, `"host": "b", "machine": "join", "state": "waiting"`}, "2 of 3 hosts are well and current: b serves nobody yet (waiting)"},
		"streams are still made":    {[]string{`"host": "b", "machine": "streams", "state": "steady"`, `"host": "b", "machine": "streams", "state": "ensuring"`}, "2 of 3 hosts are well and current: b is still making streams and copies"},
		"a stream has one copy":     {[]string{`"copies": {"KV_NODES": 3`, `"copies": {"KV_NODES": 1`}, "3 of 3 hosts are well and current: stream KV_NODES has 1 of 3 copies"},
		"a copy is still empty":     {[]string{`{"held": {"KV_NODES": 99`, `{"held": {"KV_NODES": 0`}, "3 of 3 hosts are well and current: stream KV_NODES has 2 of 3 copies"},
		"a host has no copy":        {[]string{`{"held": {"KV_NODES": 99, `, `{"held": {`}, "3 of 3 hosts are well and current: stream KV_NODES has 2 of 3 copies"},
		"a stream has no leader":    {[]string{`"copies": {"KV_NODES": 3, `, `"copies": {`}, "3 of 3 hosts are well and current: stream KV_NODES has no leader"},
		"a host has not been found": {[]string{`"hosts": 3`, `"hosts": 4`}, "3 of 4 hosts are well and current: nothing is known of 1 host of the cell"},
		"a host does not answer":    {[]string{`{"name": "c"}`, `{"name": "c"}, {"name": "d", "away": true}`}, "3 of 4 hosts are well and current: d does not answer"},
		"a host is degraded":        {[]string{`"host": "b", "machine": "health", "state": "well"`, `"host": "b", "machine": "health", "state": "degraded", "cause": "disk"`}, "2 of 3 hosts are well and current: b is degraded (disk)"},
	} {
		t.Run(name, func(t *testing.T) {
			err := hostsOf(cellAnswers(t, c.change...)).faults()
			var f *failure
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (!errors.As(err, &f) || f.code != exitPartial || err.Error() != c.want):
				t.Errorf("%v, not with %d: %s", err, exitPartial, c.want)
			}
		})
	}
}
