package messaging

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

func TestSubjects(t *testing.T) {
	for subject, want := range map[string][2]error{ // sent to, listened to
		"a": {}, "a.b-c_d.e=f": {}, "$JS.API.INFO": {}, "a*": {}, "a>b": {},
		"a.*.b": {errWildcard, nil}, "a.>": {errWildcard, nil}, "*": {errWildcard, nil}, ">": {errWildcard, nil},
		"a.>.b": {errWildcard, errRest}, "": {errSubjectEmpty, errSubjectEmpty}, "a..b": {errSubjectEmpty, errSubjectEmpty},
		".a": {errSubjectEmpty, errSubjectEmpty}, "a.": {errSubjectEmpty, errSubjectEmpty},
		"a b": {errSubjectSpace, errSubjectSpace}, "a\r\nPUB b": {errSubjectSpace, errSubjectSpace}, "a\tb": {errSubjectSpace, errSubjectSpace},
	} {
		for i, wildcards := range []bool{false, true} {
			if err := CheckSubject(subject, wildcards); !errors.Is(err, want[i]) || (err == nil) != (want[i] == nil) {
				t.Errorf("%q, wildcards %t: %v, want %v", subject, wildcards, err, want[i])
			}
		}
	}
}

func TestProperties(t *testing.T) {
	for _, tt := range []struct {
		typ, properties string
		want            diag.Code
		says            string
	}{
		{"publish", "subject: a", "", ""},
		{"publish", "subject: '{{ lookup \"data.reply\" \"\" }}'", "", ""},
		{"publish", "{}", CodeTogether, "the subject is missing"},
		{"publish", "subject: a.*", CodeSubject, "wildcard"},
		{"publish", "subject: a\nbody: '1'\npayload: x", CodeTogether, "both"},
		{"publish", "subject: a\nevent: {type: t}", "SC021", "source"},
		{"publish", "subject: a\nttl_seconds: 0", "SC026", "ttl_seconds"},
		{"publish", "subject: a\nbody: 'data.'", "SC257", "expression"},
		{"gossip", "subject: a\npayload: x", "", ""},
		{"gossip", "subject: a", CodeTogether, "the payload is missing"},
		{"gossip", registered("ip: 192.0.2.7"), "", ""},
		{"gossip", registered("ip: 2001:db8::1"), "", ""},
		{"gossip", registered("ip: host"), CodeName, "IP"},
		{"gossip", registered("ip: 192.0.2.7, prefix: 'a.>'"), CodeSubject, "prefix"},
		{"gossip", registered("ip: 192.0.2.7") + "\nsubject: a", CodeTogether, "no subject"},
		{"gossip", strings.Replace(registered("ip: 192.0.2.7"), "lon", "1on", 1), CodeName, "cluster"},
		{"request", "subject: a\naccept: message.body.ok", "", ""},
		{"request", "subject: 'a b'", CodeSubject, "white space"},
		{"subscribe", "subject: 'a.*.>'\nqueue: q", "", ""},
		{"subscribe", "subject: 'a.>.b'", CodeSubject, "last word"},
		{"subscribe", "subject: a\nqueue: a b", CodeSubject, "queue"},
		{"subscribe", "subject: a\npending: 0", "SC026", "pending"},
		{"subscribe", "subject: a\nforward: {body: '1'}", "SC021", "subject"},
		{"spawn", "template: t\nkey: machine", "", ""},
		{"spawn", "template: t\nkey: machine\nqueue: q", CodeTogether, "no subject"},
		{"spawn", "template: t", "SC021", "key"},
		{"service", "name: n\nsubject: s\nreply: 1", "", ""},
		{"service", "name: a b\nsubject: s\nreply: 1", CodeName, "a b"},
		{"service", "name: n\nsubject: s\nreply: 1\nspawn: {template: t, key: machine}", CodeTogether, "both"},
		{"service", "name: n\nsubject: s", "", ""},
		{"service", "name: n\nsubject: s\nrefusal: \"'no'\"", "", ""},
		{"service", "name: n\nsubject: s\nwhere: 'true'\nrefusal: \"'no'\"", CodeTogether, "both"},
		// What bounds or asks for nothing.
		{"subscribe", "subject: a\nquota: [{rate: 1/s}, {bytes: 1KiB/s, bytes_burst: 1MiB}]\nmax_size: 1KiB", "", ""},
		{"subscribe", "subject: a\nquota: [{rate: 1/s}, {by: 'message.tokens[1]'}]", watchers.CodeQuota, "bounds nothing"},
		{"service", "name: n\nsubject: s\nquota: [{burst: 10}]", watchers.CodeQuota, "bounds nothing"},
		{"spawn", "template: t\nkey: machine\nsubject: s\nquota: [{burst: 10, bytes: 1KiB/s}]", watchers.CodeQuota, "burst: without rate"},
		{"subscribe", "subject: a\nquota: [{rate: 1/s, bytes_burst: 1KiB}]", watchers.CodeQuota, "bytes_burst: without bytes"},
		{"subscribe", "subject: a\nquota: [{rate: ''}]", "SC028", "rate: there is no value"},
		{"subscribe", "subject: a\nquota: [{by: len(data), rate: 1/s}]", watchers.CodeFormula, "never a text"},
		{"subscribe", "subject: a\nmax_size: ''", "SC028", "max_size: there is no value"},
		{"service", "name: n\nsubject: s\nmax_size:", "SC028", "max_size: there is no value"},
		{"spawn", "template: t\nkey: machine\nmax_size: 1KiB", CodeTogether, "no subject"},
		{"spawn", "template: t\nkey: machine\nquota: [{rate: 1/s}]", CodeTogether, "no subject"},
		{"spawn", "template: t\nkey: machine\nfor: machine", CodeTogether, "without limit_for"},
		{"spawn", "template: t\nkey: machine\nlimit_for: 2", CodeTogether, "nothing says whom"},
		{"spawn", "template: t\nkey: machine\nfor: machine\nlimit_for: 2", "", ""},
		{"spawn", "template: t\nkey: len(machine)", watchers.CodeFormula, "key: the expression gives a number"},
		{"spawn", "template: t\nkey: machine\nlimit: ''", "SC028", "limit"},
		{"service", "name: n\nsubject: s\nspawn: {template: t, key: machine, for: machine}", CodeTogether, "without limit_for"},
		{"service", "name: n\nsubject: s\nspawn: {template: t, key: machine, limit_for: 2}", CodeTogether, "nothing says whom"},
		{"service", "name: n\nsubject: s\nwhere: ''", "SC028", "where: there is no value"},
		{"service", "name: n\nsubject: s\nwhere: '\"yes\"'", watchers.CodeFormula, "where: the expression gives a text"},
		{"request", "subject: a\nunchanged_when: message.body.same", "", ""},
		{"request", "subject: a\nunchanged_when: '\"same\"'", watchers.CodeFormula, "unchanged_when: the expression gives a text, never a boolean"},
		{"request", "subject: a\nunchanged_when: len(data)", watchers.CodeFormula, "gives a number"},
		{"request", "subject: a\nunchanged_when: ''", "SC028", "unchanged_when"},
		{"request", "subject: a\naccept: '{ok: true}'", watchers.CodeFormula, "gives a mapping"},
		{"subscribe", "subject: a\nforward: {subject: '\"b\"', id: machine}", CodeTogether, "not acknowledged"},
		{"subscribe", "subject: a\nforward: {subject: '\"b\"', id: machine, acknowledged: true}", "", ""},
		{"subscribe", "subject: a\nforward: {subject: '1'}", watchers.CodeFormula, "subject: the expression gives a number"},
		{"connection", "name: fleet", "", ""},
		{"connection", "credentials: fleet", "SC021", "name"},
	} {
		list := typeOf(t, Types(nil, nil), tt.typ).Check(specOf(t, tt.typ, tt.properties))
		switch {
		case tt.want == "" && len(list) > 0:
			t.Errorf("%s %q: %v", tt.typ, tt.properties, list)
		case tt.want != "" && (len(list) != 1 || list[0].Code != tt.want || !strings.Contains(list[0].Message, tt.says) || list[0].Hint == "" || list[0].Line == 0):
			t.Errorf("%s %q: %v, want %s with %q, a hint and a place", tt.typ, tt.properties, list, tt.want, tt.says)
		}
	}
}

func registered(ip string) string {
	return "registration: {cluster: lon, service: web, protocol: http, port: 80, " + ip + "}"
}

// TestServiceThatNobodyAnswers needs a watcher that does nothing with success.
func TestServiceThatNobodyAnswers(t *testing.T) {
	w := specOf(t, "service", "name: n\nsubject: s")
	w.SuccessTransition = ""
	list := typeOf(t, Types(nil, nil), "service").Check(w)
	if len(list) != 1 || list[0].Code != CodeTogether {
		t.Errorf("finds %v", list)
	}
	w.On = map[string]string{"success": "asked"}
	if list := typeOf(t, Types(nil, nil), "service").Check(w); len(list) > 0 {
		t.Errorf("finds %v", list)
	}
}

// TestCodes holds the documented examples against the types.
func TestCodes(t *testing.T) {
	c := catalogue{}
	for _, typ := range Types(nil, nil) {
		c[typ.Name] = &typ.WatcherType
	}
	tested := 0
	for _, e := range diag.Entries() {
		if e.Code < "SC360" || e.Code > "SC379" {
			continue
		}
		tested++
		_, list := machine.Load("machine.yaml", []byte(e.Bad), c)
		if len(list) != 1 || list[0].Code != e.Code {
			t.Errorf("%s: the bad example gives %v", e.Code, list)
		}
		if _, list := machine.Load("machine.yaml", []byte(e.Good), c); len(list) > 0 {
			t.Errorf("%s: the good example gives %v", e.Code, list)
		}
	}
	if tested != 3 {
		t.Errorf("%d codes are documented, want 3", tested)
	}
}

type catalogue map[string]*machine.WatcherType

func (c catalogue) Find(name string) (*machine.WatcherType, bool) { t, ok := c[name]; return t, ok }

func (c catalogue) Names() []string {
	var names []string
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
