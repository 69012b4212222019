//go:build linux

package watchers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
)

func TestExecInput(t *testing.T) {
	for name, test := range map[string]struct{ input, want string }{
		"mapping":      {"'{name: data.name, n: 1, list: [true, nil]}'", `{"list":[true,null],"n":1,"name":"<web> & \"é\""}` + "\n"},
		"text":         {"data.name", `<web> & "é"`},
		"number":       {"'1 + 1'", "2\n"},
		"nothing":      {"data.none", "null\n"},
		"empty text":   {"'\"\"'", ""},
		"of the look":  {"'{i: identity, m: machine, s: state}'", `{"i":"n1","m":"mender","s":"checking"}` + "\n"},
		"not declared": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			properties := "command: cat\n"
			if test.input != "" {
				properties += "input: " + test.input + "\n"
			}
			for _, confine := range []string{"", "sandbox: {}\n"} {
				b := newExecBench(t, properties+confine)
				b.look.Data, b.look.Identity = map[string]any{"name": `<web> & "é"`}, "n1"
				b.want(machine.OutcomeSuccess, test.want)
				b.want(machine.OutcomeSuccess, test.want)
			}
		})
	}
}

func TestExecInputOfADisownedCommand(t *testing.T) {
	b := newExecBench(t, `{command: 'sh -c "cat >got"', disown: true, input: identity}`)
	b.look.Identity = "n1"
	b.want(machine.OutcomeSuccess, "")
	if got, err := os.ReadFile(filepath.Join(b.look.Directory, "got")); err != nil || string(got) != "n1" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestExecInputIsBounded(t *testing.T) {
	b := newExecBench(t, `{command: "wc -c", input: data.text}`)
	for size, outcome := range map[int]string{maxExecInput: machine.OutcomeSuccess, maxExecInput + 1: machine.OutcomeFail} {
		b.look.Data = map[string]any{"text": strings.Repeat("x", size)}
		r := b.run()
		output, _ := r.Payload["output"].(string)
		if r.Outcome != outcome || outcome == machine.OutcomeSuccess && strings.TrimSpace(output) != fmt.Sprint(size) {
			t.Errorf("%d bytes: got %s %q %q", size, r.Outcome, r.Message, output)
		}
		if outcome == machine.OutcomeFail && !strings.Contains(r.Message, "takes 1048577 bytes, more than 1MiB") {
			t.Errorf("got %q", r.Message)
		}
	}
	b = newExecBench(t, `{command: cat, input: data.a.b.c}`)
	if r := b.run(); r.Outcome != machine.OutcomeFail || !strings.HasPrefix(r.Message, "input: ") {
		t.Errorf("an input that cannot be read: %s %q", r.Outcome, r.Message)
	}
}

func TestExecParseOutput(t *testing.T) {
	fitting := `{"a": "` + strings.Repeat("x", machine.MaxPayload-200) + `"}`
	for name, test := range map[string]struct {
		output string
		code   int
		want   any // nil: fail
		reason string
	}{
		"object":         {`{"cell": "c1", "n": 1, "deep": {"list": [null]}}`, 0, map[string]any{"cell": "c1", "n": 1, "deep": map[string]any{"list": []any{nil}}}, ""},
		"empty object":   {"{}\n", 0, map[string]any{}, ""},
		"as much as fit": {fitting, 0, map[string]any{"a": strings.Repeat("x", machine.MaxPayload-200)}, ""},
		"more":           {`{"a": "` + strings.Repeat("x", machine.MaxPayload) + `"}`, 0, nil, "the output is too large"},
		"not successful": {`{"a": 1}`, 1, nil, "exit code 1"},
		"nonsense":       {"no idea\n", 0, nil, "reading the output as a JSON object: it is not a JSON object"},
		"array":          {"[1]", 0, nil, "not a JSON object"},
		"nothing":        {"", 0, nil, "not a JSON object"},
		"broken":         {`{"a": `, 0, nil, "ends too early"},
		"two":            {`{} {}`, 0, nil, "after the JSON object"},
		"beyond a limit": {`{"a": "` + strings.Repeat("x", 1<<20) + `"}`, 0, nil, "output_limit of 1MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newExecBench(t, fmt.Sprintf(`{command: "cat output; exit %d", shell: true, parse_output: true}`, test.code))
			if err := os.WriteFile(filepath.Join(b.look.Directory, "output"), []byte(test.output), 0o600); err != nil {
				t.Fatal(err)
			}
			r := b.run()
			if test.want == nil {
				_, isText := r.Payload["output"].(string)
				if r.Outcome != machine.OutcomeFail || !strings.Contains(r.Message, test.reason) || !isText {
					t.Errorf("got %s %q", r.Outcome, r.Message)
				}
				return
			}
			if r.Outcome != machine.OutcomeSuccess || r.Data != nil || r.Payload["truncated"] != false {
				t.Errorf("got %s %q, data %v, truncated %v", r.Outcome, r.Message, r.Data, r.Payload["truncated"])
			}
			if d := cmp.Diff(test.want, r.Payload["output"]); d != "" {
				t.Error(d)
			}
		})
	}
	b := newExecBench(t, `{command: 'echo "$ANSWER"', environment: ['ANSWER={"a": "b"}'], shell: true, parse_output: true, parse_as_data: true}`)
	r := b.run()
	if d := cmp.Diff(map[string]any{"a": "b"}, r.Data); d != "" || cmp.Diff(any(r.Data), r.Payload["output"]) != "" {
		t.Errorf("with parse_as_data: %s %q %v", d, r.Message, r.Payload)
	}
}

// TestD28Helper holds a watcher that asks a helper by standard input and output against helpers of every sort.
func TestD28Helper(t *testing.T) {
	const timeout = 500 * time.Millisecond
	for name, test := range map[string]struct {
		command, outcome, message string
		payload                   map[string]any // some of it
	}{
		"answers":                   {`cat`, machine.OutcomeSuccess, "", map[string]any{"exit_code": 0, "truncated": false}},
		"hangs":                     {`sleep 60`, machine.OutcomeTimeout, "did not end within", nil},
		"hangs and reads":           {`cat >/dev/null; sleep 60`, machine.OutcomeTimeout, "did not end within", nil},
		"exits 1":                   {`echo refused >&2; exit 1`, machine.OutcomeFail, "exit code 1: refused", map[string]any{"exit_code": 1, "stderr": "refused\n"}},
		"exits 1, long complaint":   {`yes no | head -c 100000 >&2; exit 1`, machine.OutcomeFail, "exit code 1: n", map[string]any{"stderr": strings.Repeat("no\n", 1<<12/3) + "n"}},
		"prints 10 MB":              {`yes '{}' | head -c 10000000`, machine.OutcomeFail, "more than the output_limit", map[string]any{"truncated": true}},
		"prints nonsense":           {`echo 'Segmentation fault'`, machine.OutcomeFail, "not a JSON object", map[string]any{"exit_code": 0}},
		"prints nothing":            {`true`, machine.OutcomeFail, "not a JSON object", nil},
		"never reads":               {`echo '{}'`, machine.OutcomeSuccess, "", nil},
		"closes its input":          {`exec <&-; echo '{}'`, machine.OutcomeSuccess, "", nil},
		"reads a little":            {`head -c 1 >/dev/null; echo '{}'`, machine.OutcomeSuccess, "", nil},
		"closes its output":         {`echo '{}'; exec >&-; cat >/dev/null`, machine.OutcomeSuccess, "", nil},
		"closes its output, fails":  {`exec >&- 2>&-; exit 3`, machine.OutcomeFail, "exit code 3", nil},
		"closes its output, hangs":  {`exec >&- 2>&-; sleep 60`, machine.OutcomeTimeout, "did not end within", nil},
		"is killed":                 {`kill -9 $$`, machine.OutcomeFail, "exit code 137", nil},
		"writes to its input":       {`echo nonsense >&0 || true; echo '{}'`, machine.OutcomeSuccess, "", nil},
		"leaves somebody behind":    {`sleep 1 & echo '{}'`, machine.OutcomeSuccess, "", nil},
		"is not there":              {`./no-such-helper`, machine.OutcomeFail, "exit code 127", nil},
		"answers, but exits with 1": {`cat; exit 1`, machine.OutcomeFail, "exit code 1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newExecBench(t, fmt.Sprintf("{command: %q, shell: true, input: '{identity: identity, pad: data.pad}', parse_output: true}", test.command))
			pad := 900_000 // far more than a pipe holds
			if test.command == "cat" {
				pad = 10_000
			}
			b.look.Data = map[string]any{"pad": strings.Repeat("x", pad)}
			limit := time.Minute
			if test.outcome == machine.OutcomeTimeout {
				limit = timeout
			}
			r := b.sizedRun(limit)
			if r.Outcome != test.outcome || !strings.Contains(r.Message, test.message) {
				t.Fatalf("got %s %q", r.Outcome, r.Message)
			}
			for field, want := range test.payload {
				if d := cmp.Diff(want, r.Payload[field]); d != "" {
					t.Errorf("%s: %s", field, d)
				}
			}
			if text, _ := r.Payload["stderr"].(string); len(text) > maxPayloadOutput {
				t.Errorf("%d bytes of stderr", len(text))
			}
		})
	}
}
