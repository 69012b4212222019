package all

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/conformance"
)

func cases() map[string]conformance.Case {
	return map[string]conformance.Case{
		"archive":      {Properties: "source: https://bundles.invalid/web.tgz\nchecksum: " + strings.Repeat("0", 64) + "\ncreates: web\ntarget: /nonexistent\ntimeout: 10ms"},
		"broker":       {Properties: "room: 100"},
		"brokers":      {Properties: "connection: fleet"},
		"certificates": {Properties: "warn: 30d"},
		"connection":   {Properties: "name: fleet"},
		"ingest":       {Properties: "subject: node.*.out.inventory\nto: '\"discovery.\" + message.tokens[1]'\nsender: message.tokens[1]"},
		"instances":    {Properties: "above: 80"},
		"inventory":    {Properties: "inline: true"},
		"consumers":    {Properties: "streams: [EVENTS]"},
		"depot":        {Properties: "name: bundles\nsubject: node.*.out.bundle\ninbox: '\"_INBOX.\"'\nserves: objects\nbucket: BUNDLES"},
		"election":     {Properties: "name: leader"},
		"exec":         {Properties: "command: 'true'", Blocking: "command: sleep 60"},
		"expression":   {Properties: "success_when: data.failures == 0\nfail_when: identity == 'x'"},
		"facts":        {Properties: "builtin: false\nsources: [{file: site.json}]", Setup: writeFile("site.json", `{"rack": 7}`)},
		"file":         {Properties: "path: motd", Setup: writeFile("motd", "hello")},
		"governor":     {Properties: "name: deploy\ncapacity: 2"},
		"identity":     {Properties: "action: check"},
		"journal_head": {Properties: "known: aa11"},
		"kv":           {Properties: "bucket: NODES\nkey: a"},
		"leafnodes":    {Properties: "patience: 30s"},
		"machine":      {Properties: "action: confirm\nname: web"},
		"machines":     {Properties: "data_item: specs"},
		"member":       {Properties: "action: look"},
		"policy":       {Properties: "query: data.x.allow\npolicy: |\n  package x\n  allow := true\n"},
		"publish":      {Properties: "subject: a.b\nbody: '{a: 1}'"},
		"request":      {Properties: "subject: a.b\nbody: '{a: 1}'"},
		"schedule":     {Properties: "schedules: ['* * * * *']\nstart_splay: 10s"},
		"service":      {Properties: "name: echo\nsubject: a.b\nreply: message.body"},
		"signed_head":  {Properties: "head: '{a: 1}'\nkey: '\"aa\"'\nof: identity"},
		"spawn":        {Properties: "template: job\nsubject: a.b\nkey: message.subject"},
		"streams":      {Properties: "buckets: [{name: A}]"},
		"usage":        {Properties: "above: 90"},
		"subscribe":    {Properties: "subject: a.b", Spec: onSuccess},
		"timer":        {Properties: "timer: 1s"},
		"token":        {Properties: "action: verify\npurpose: node\ntoken: data.token"},
		"transfer":     {Properties: "from: alone\nto: fleet\nstreams: '[]'"},
		"view":         {Properties: "stream: DISCOVERY\nname: inventory"},
	}
}

func onSuccess(w *machine.WatcherSpec) { w.SuccessTransition = "heard" }

func writeFile(name, content string) func(t *testing.T, look *watchers.Look) {
	return func(t *testing.T, look *watchers.Look) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(look.Directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryTypeConforms fails for a type without a case.
func TestEveryTypeConforms(t *testing.T) {
	for _, typ := range Types(Services{}) {
		if typ.Unsupported != "" {
			continue
		}
		t.Run(typ.Name, func(t *testing.T) {
			c, ok := cases()[typ.Name]
			if !ok {
				t.Fatal("there is no conformance case for this type")
			}
			c.Type = typ
			conformance.Run(t, c)
		})
	}
}
