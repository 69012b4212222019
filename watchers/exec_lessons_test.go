//go:build linux

package watchers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/statecraft-io/statecraft/machine"
)

// sizedRun looks once with a time-out that the command does not keep.
func (b *execBench) sizedRun(timeout time.Duration) Report {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), timeout)
	defer cancel()
	began := time.Now()
	r := b.watcher.Check(ctx, &b.look)
	if took := time.Since(began); took > 20*time.Second {
		b.Errorf("took %s", took)
	}
	return r
}

func TestB15ExecTimeout(t *testing.T) {
	for name, command := range map[string]string{
		"hangs":                         `sleep 60`,
		"grandchild keeps stdout open":  `sh -c "sleep 60 & sleep 60"`,
		"SIGTERM ignored":               `sh -c "trap '' TERM; while :; do sleep 1; done"`,
		"grandchild in its own session": `sh -c "setsid sleep 60 & sleep 60"`,
		"endless output":                `yes`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newExecBench(t, fmt.Sprintf("command: %q", command))
			r := b.sizedRun(300 * time.Millisecond)
			if r.Outcome != machine.OutcomeTimeout || r.Payload != nil || !strings.Contains(r.Message, "did not end within") {
				t.Errorf("got %s %q %v", r.Outcome, r.Message, r.Payload)
			}
		})
	}
}

func TestB15ExecGrandchildAfterSuccess(t *testing.T) {
	b := newExecBench(t, `{command: 'sh -c "sleep 60 & echo $!"'}`)
	r := b.sizedRun(time.Minute)
	text, _ := r.Payload["output"].(string)
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || r.Outcome != machine.OutcomeSuccess {
		t.Fatalf("got %s %q", r.Outcome, text)
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		t.Errorf("what a successful command left behind is gone: %v", err)
	}
}

func TestB15ExecOutput(t *testing.T) {
	b := newExecBench(t, `{command: "yes äöü | head -c 100000000", shell: true, output_limit: 10KiB}`)
	r := b.run()
	output, _ := r.Payload["output"].(string)
	if r.Outcome != machine.OutcomeSuccess || r.Payload["truncated"] != true || len(output) > maxPayloadOutput || len(output) < maxPayloadOutput-4 {
		t.Errorf("got %s, %d bytes, truncated %v", r.Outcome, len(output), r.Payload["truncated"])
	}
	if strings.ContainsRune(output, '\uFFFD') && !strings.HasSuffix(output, "\uFFFD") {
		t.Error("a character was cut at the beginning")
	}
	b = newExecBench(t, `{command: 'printf "a\000b\377c"', shell: true}`)
	b.want(machine.OutcomeSuccess, "a\uFFFDb\uFFFDc")
	b = newExecBench(t, `{command: 'printf "\033[31mred\000\377" >&2; exit 1', shell: true}`)
	if r := b.run(); machine.OneLine(r.Message) != "exit code 1: red\uFFFD\uFFFD" {
		t.Errorf("got %q", r.Message)
	}
	b = newExecBench(t, `{command: cat}`)
	b.want(machine.OutcomeSuccess, "")
}

func TestB15ExecData(t *testing.T) {
	many := func(n int) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, `,"k%d":0`, i)
		}
		return "{" + strings.TrimPrefix(text.String(), ",") + "}"
	}
	for name, test := range map[string]struct {
		output string
		code   int
		want   map[string]any // nil: fail
		reason string
	}{
		"object":          {`{"a": 1, "b": {"c": [true]}, "gone": null}`, 0, map[string]any{"a": 1, "b": map[string]any{"c": []any{true}}, "gone": nil}, ""},
		"empty object":    {` {} `, 0, map[string]any{}, ""},
		"not successful":  {`{"a": 1}`, 1, nil, "exit code 1"},
		"broken":          {`{"a": 1`, 0, nil, "it ends too early"},
		"broken value":    {`{"a": x}`, 0, nil, "invalid character"},
		"two values":      {`{"a": 1} {"b": 1}`, 0, nil, "after the JSON object"},
		"array":           {`[1]`, 0, nil, "not a JSON object"},
		"null":            {`null`, 0, nil, "not a JSON object"},
		"nothing":         {``, 0, nil, "not a JSON object"},
		"too many keys":   {many(maxDataKeys + 1), 0, nil, "more than 10000 keys"},
		"a million keys":  {many(1_000_000), 0, nil, "more than 10000 keys"},
		"beyond a limit":  {`{"a": "` + strings.Repeat("x", 16<<20) + `"}`, 0, nil, "output_limit of 16MiB"},
		"invalid UTF-8":   {"{\"a\": \"\xff\"}", 0, map[string]any{"a": "\uFFFD"}, ""},
		"NUL outside":     {"{\"a\": 1}\x00", 0, nil, "after the JSON object"},
		"deeply nested":   {`{"a":` + strings.Repeat("[", 20_000), 0, nil, "reading the output as data"},
		"duplicated keys": {`{"a": "1", "a": "2"}`, 0, map[string]any{"a": "2"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newExecBench(t, fmt.Sprintf(`{command: "cat output; exit %d", shell: true, parse_as_data: true, output_limit: 16MiB}`, test.code))
			if err := os.WriteFile(filepath.Join(b.look.Directory, "output"), []byte(test.output), 0o600); err != nil {
				t.Fatal(err)
			}
			r := b.run()
			if r.Outcome != map[bool]string{true: machine.OutcomeSuccess, false: machine.OutcomeFail}[test.want != nil] {
				t.Errorf("got %s", r.Outcome)
			}
			if !strings.Contains(r.Message, test.reason) || len(r.Message) > machine.MaxMessage {
				t.Errorf("got %q, want %q", r.Message, test.reason)
			}
			if d := cmp.Diff(test.want, r.Data); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestB15ExecLimits(t *testing.T) {
	const command = `dd if=/dev/zero of=/dev/null bs=256M count=1`
	if r := newExecBench(t, "command: "+command).run(); r.Outcome != machine.OutcomeSuccess {
		t.Fatalf("the test cannot fail: without a limit it is %s %s", r.Outcome, r.Message)
	}
	b := newExecBench(t, "command: "+command+"\nsandbox: {limits: {memory: 64MiB}}")
	if r := b.run(); r.Outcome != machine.OutcomeFail || !strings.Contains(r.Message, "exit code 1: dd") {
		t.Errorf("got %s %q", r.Outcome, r.Message)
	}
}

func TestExecDisownedIsLeftRunning(t *testing.T) {
	b := newExecBench(t, `{command: 'sh -c "echo $$ >pid.new; mv pid.new pid; exec sleep 60"', disown: true}`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan Report)
	go func() { done <- b.watcher.Check(ctx, &b.look) }()
	note := filepath.Join(b.look.Directory, "pid")
	pid := 0
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); pid == 0 && time.Now().Before(end); <-tick.C {
		text, _ := os.ReadFile(note)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	cancel()
	if r := <-done; r.Outcome != machine.OutcomeFail || !strings.Contains(r.Message, "left running") {
		t.Errorf("got %s %q", r.Outcome, r.Message)
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Kill()
	}
	if err != nil || pid == 0 {
		t.Errorf("process %d: %v", pid, err)
	}
}

func TestB16ExecRunsAsTheUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: changing the user needs root; run the tests as root to see that commands lose their rights")
	}
	b := newExecBench(t, `
command: 'sh -c "id -un; cat $WATCHER_DATA $WATCHER_FACTS; echo; echo $HOME; grep NoNewPrivs /proc/self/status"'
sandbox: {user: nobody}`)
	b.look.Data = map[string]any{"a": 1}
	b.want(machine.OutcomeSuccess, "nobody\n{\"a\":1}{}\n/nonexistent\nNoNewPrivs:\t1\n")
	b = newExecBench(t, `{command: 'sh -c "echo $WATCHER_DATA; ls -n $WATCHER_DATA | cut -c1-10"', sandbox: {user: nobody}}`)
	output, _ := b.run().Payload["output"].(string)
	path, mode, _ := strings.Cut(output, "\n")
	if _, err := os.Stat(filepath.Dir(path)); mode != "-r--------\n" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the run's files at %q had mode %q and are left behind: %v", path, mode, err)
	}
	other := newExecBench(t, `{command: "true"}`)
	other.run()
	b = newExecBench(t, `{command: 'sh -c "cat $1" sh `+filepath.Join(other.look.Scratch, "check-data.json")+`', sandbox: {user: nobody}}`)
	if r := b.run(); r.Outcome != machine.OutcomeFail || !strings.Contains(r.Message, "denied") {
		t.Errorf("another machine's data: %s %q %q", r.Outcome, r.Message, r.Payload["output"])
	}
}

func TestB16ExecEnvironment(t *testing.T) {
	t.Setenv("STATECRAFT_TOKEN", "secret")
	t.Setenv("OTHER_SECRET", "secret")
	t.Setenv("WANTED", "yes")
	const plain = `{command: env, environment: [MINE=1]}`
	for _, tt := range []struct {
		name, spec string
		strict     bool
		also       []string
	}{
		{"what a sandbox allows", `{command: env, environment: [MINE=1], sandbox: {env_allow: [WANTED, STATECRAFT_TOKEN, NOT_SET]}}`, true, []string{"WANTED"}},
		// A manifest of Choria's, which has no format, gets what Choria gives, and nothing that the host was started with.
		{"without format", plain, false, []string{"MACHINE_DEADLINE"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newExecBench(t, tt.spec)
			if b.look.Strict = tt.strict; !tt.strict {
				b.look.Deadline = time.Unix(1_000_000_000, 0)
			}
			want := map[string]bool{}
			for _, name := range append(tt.also, "PATH", "MACHINE_NAME", "MACHINE_WATCHER_NAME", "WATCHER_DATA", "WATCHER_FACTS", "MINE", "STATECRAFT_RUN") {
				want[name] = true
			}
			got := map[string]bool{}
			output, _ := b.run().Payload["output"].(string)
			for entry := range strings.Lines(output) {
				name, _, _ := strings.Cut(entry, "=")
				got[name] = true
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
	if output, _ := newExecBench(t, plain).run().Payload["output"].(string); !strings.Contains(output, "OTHER_SECRET") {
		t.Error("the test cannot fail: a command with a format and no sandbox does not have the host's variables")
	}
}

func TestB17ValuesAreOneArgument(t *testing.T) {
	b := newExecBench(t, `
command: 'printf "%s|" -- "{{ lookup "data.value" "" }}" {{ lookup "data.value" "" }} \$(touch\ pwned)'
environment: ['VALUE={{ lookup "data.value" "" }}']`)
	viaShell := newExecBench(t, `{command: 'printf "%s|" "$VALUE"', shell: true, environment: ['VALUE={{ lookup "data.value" "" }}']}`)
	check := func(t interface {
		Errorf(string, ...any)
	}, value string) {
		for bench, want := range map[*execBench]string{b: "--|" + value + "|" + value + "|$(touch pwned)|", viaShell: value + "|"} {
			bench.look.Data = map[string]any{"value": value}
			if r := bench.run(); r.Outcome != machine.OutcomeSuccess || r.Payload["output"] != want {
				t.Errorf("got %s %q (%s), want %q", r.Outcome, r.Payload["output"], r.Message, want)
			}
			if _, err := os.Stat(filepath.Join(bench.look.Directory, "pwned")); err == nil {
				t.Errorf("a value was interpreted")
			}
		}
	}
	for _, value := range []string{"; rm -rf .; touch pwned", "$(touch pwned)", "`touch pwned`", `" ; touch pwned "`, "' ; touch pwned '",
		"a\ntouch pwned", "-n", "{{ lookup }}", "*", "\\", ""} {
		check(t, value)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, strings.ReplaceAll(rapid.StringN(0, 100, 400).Draw(t, "value"), "\x00", ""))
	})
}

func TestB17NULIsRefused(t *testing.T) {
	for _, properties := range []string{
		`{command: 'echo {{ lookup "data.value" "" }}'}`,
		`{command: echo, environment: ['A={{ lookup "data.value" "" }}']}`,
	} {
		b := newExecBench(t, properties)
		b.look.Data = map[string]any{"value": "a\x00b"}
		if r := b.run(); r.Outcome != machine.OutcomeFail || !strings.Contains(r.Message, "holds a NUL") {
			t.Errorf("got %s %q", r.Outcome, r.Message)
		}
	}
}
