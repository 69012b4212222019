package messaging

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
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
