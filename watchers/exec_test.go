//go:build linux

package watchers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// execBench is one exec watcher in a machine of its own.
type execBench struct {
	testing.TB
	watcher *execWatcher
	look    Look
}

func prepareExecText(t testing.TB, properties string, own bool) (*Prepared, diag.List) {
	t.Helper()
	node, problems := strict.Parse("machine.yaml", []byte(properties))
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	return Exec().Prepare(&machine.WatcherSpec{Name: "check", Type: "exec", Properties: node, Strict: own})
}

func newExecBench(t testing.TB, properties string) *execBench {
	t.Helper()
	prepared, problems := prepareExecText(t, properties, true)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	root := t.TempDir()
	b := &execBench{TB: t, watcher: prepared.New().(*execWatcher)}
	b.look = Look{
		Machine: "mender", Watcher: "check", State: "checking", Moment: Entered, Strict: true,
		Directory: filepath.Join(root, "payload"), Scratch: filepath.Join(root, "scratch"),
	}
	for folder, mode := range map[string]os.FileMode{b.look.Directory: 0o755, b.look.Scratch: 0o700} {
		if err := os.Mkdir(folder, mode); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// run looks once, with patience far above what any of the commands takes that are meant to end.
func (b *execBench) run() Report {
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	return b.watcher.Check(ctx, &b.look)
}

func (b *execBench) want(outcome, output string) Report {
	b.Helper()
	r := b.run()
	if r.Outcome != outcome || r.Payload["output"] != output {
		b.Errorf("got %s %q (%s), want %s %q", r.Outcome, r.Payload["output"], r.Message, outcome, output)
	}
	return r
}

// program puts a script into the machine's directory.
func (b *execBench) program(name, text string) {
	b.Helper()
	path := filepath.Join(b.look.Directory, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		b.Fatal(err)
	}
}

func TestExecReports(t *testing.T) {
	for name, test := range map[string]struct {
		properties string
		outcome    string
		message    string
		payload    map[string]any
		quiet      bool
	}{
		"success": {`{command: 'sh -c "echo fine; echo noise >&2"'}`, machine.OutcomeSuccess, "",
			map[string]any{"exit_code": 0, "output": "fine\n", "truncated": false}, false},
		"quiet success": {`{command: "true", suppress_success_announce: true}`, machine.OutcomeSuccess, "",
			map[string]any{"exit_code": 0, "output": "", "truncated": false}, true},
		"fail": {`{command: 'sh -c "echo out; echo; echo it broke >&2; echo more >&2; exit 3"', suppress_success_announce: true}`,
			machine.OutcomeFail, "exit code 3: more", map[string]any{"exit_code": 3, "output": "out\n\n", "stderr": "it broke\nmore\n", "truncated": false}, false},
		"signal": {`{command: 'sh -c "kill -KILL $$"'}`, machine.OutcomeFail, "exit code 137 (killed)",
			map[string]any{"exit_code": 137, "output": "", "stderr": "", "truncated": false}, false},
		"no program": {`{command: no-such-program-here}`, machine.OutcomeFail,
			`there is no program "no-such-program-here" in PATH or the machine's directory; install it or write its path`,
			map[string]any{"exit_code": -1, "output": "", "stderr": "", "truncated": false}, false},
		"no template value": {`{command: 'cat {{ lookup "data.path" "" }}x', environment: ["A={{ lookup 1 }}"]}`, machine.OutcomeFail, "",
			map[string]any{"exit_code": -1, "output": "", "stderr": "", "truncated": false}, false},
		"shell": {`{command: "echo $((1 + 1)) | tr 2 3", shell: true}`, machine.OutcomeSuccess, "",
			map[string]any{"exit_code": 0, "output": "3\n", "truncated": false}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newExecBench(t, test.properties)
			r := b.run()
			if r.Outcome != test.outcome || test.message != "" && r.Message != test.message || r.Quiet != test.quiet {
				t.Errorf("got %s %q, quiet %v", r.Outcome, r.Message, r.Quiet)
			}
			if _, ok := r.Payload["duration_ms"].(int); !ok {
				t.Errorf("duration_ms is %v", r.Payload["duration_ms"])
			}
			delete(r.Payload, "duration_ms")
			if d := cmp.Diff(test.payload, r.Payload); d != "" {
				t.Error(d)
			}
			word := map[bool]string{true: "success", false: "error"}[test.outcome == machine.OutcomeSuccess]
			if r.State["previous_outcome"] != word || r.State["command"] != b.watcher.spec.Command.String() {
				t.Errorf("state is %v", r.State)
			}
			if _, ok := r.State["previous_run_time"].(int64); !ok {
				t.Errorf("previous_run_time is %v", r.State["previous_run_time"])
			}
		})
	}
}

func TestExecFindsPrograms(t *testing.T) {
	b := newExecBench(t, `{command: tool}`)
	b.program("tool", "echo own")
	b.want(machine.OutcomeSuccess, "own\n")

	earlier := filepath.Join(b.look.Directory, "earlier")
	b.program("earlier/tool", "echo earlier")
	t.Setenv("PATH", "relative:"+earlier+":"+os.Getenv("PATH"))
	b.want(machine.OutcomeSuccess, "earlier\n")

	b = newExecBench(t, `{command: bin/tool a b}`)
	b.program("bin/tool", `echo "$0 $* $(pwd)"`)
	b.want(machine.OutcomeSuccess, filepath.Join(b.look.Directory, "bin/tool")+" a b "+b.look.Directory+"\n")

	b = newExecBench(t, `{command: tool, environment: [PATH=/nowhere]}`)
	b.program("tool", "echo $PATH")
	b.want(machine.OutcomeSuccess, "/nowhere\n")
}

func TestExecEnvironment(t *testing.T) {
	t.Setenv("STATECRAFT_TOKEN", "secret")
	t.Setenv("FROM_HOST", "seen")
	b := newExecBench(t, `
command: env
environment: ["A={{ lookup \"facts.os\" \"none\" }}", "B=x=y", "FROM_HOST=replaced"]
`)
	b.look.Deadline = time.Date(2030, 1, 2, 3, 4, 5, 0, time.FixedZone("east", 3600))
	b.look.Facts, _ = NewFacts([]byte(`{"os":"linux; rm -rf /"}`))
	output := strings.Split(b.run().Payload["output"].(string), "\n")
	got := map[string]string{}
	for _, entry := range output {
		if name, value, found := strings.Cut(entry, "="); found {
			if _, twice := got[name]; twice {
				t.Errorf("%s is there twice", name)
			}
			got[name] = value
		}
	}
	for name, value := range map[string]string{
		"A": "linux; rm -rf /", "B": "x=y", "FROM_HOST": "replaced",
		"MACHINE_NAME": "mender", "MACHINE_WATCHER_NAME": "check", "MACHINE_DEADLINE": "2030-01-02T02:04:05Z",
		"WATCHER_DATA":  filepath.Join(b.look.Scratch, "check-data.json"),
		"WATCHER_FACTS": filepath.Join(b.look.Scratch, "check-facts.json"),
		"PATH":          os.Getenv("PATH") + ":" + b.look.Directory,
	} {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	if _, seen := got["STATECRAFT_TOKEN"]; seen {
		t.Error("the host's own variables reach the command")
	}
}

func TestExecFilesAreWrittenOnChange(t *testing.T) {
	b := newExecBench(t, `{command: 'sh -c "cat $WATCHER_DATA $WATCHER_FACTS"'}`)
	b.want(machine.OutcomeSuccess, "{}{}")
	b.look.Data = map[string]any{"n": 1}
	b.look.Facts, _ = NewFacts([]byte(`{"a":1}`))
	b.want(machine.OutcomeSuccess, `{"n":1}{"a":1}`)
	data := filepath.Join(b.look.Scratch, "check-data.json")
	before, err := os.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	old, _ := before.Stat()
	if old.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v", old.Mode())
	}
	b.run()
	if same, err := os.Stat(data); err != nil || !os.SameFile(old, same) {
		t.Errorf("written without a change: %v", err)
	}
	b.look.Data = map[string]any{"n": 2}
	b.look.Facts, _ = NewFacts([]byte(`{"a":2}`))
	b.want(machine.OutcomeSuccess, `{"n":2}{"a":2}`)
	torn := make([]byte, 100)
	if n, _ := before.Read(torn); string(torn[:n]) != `{"n":1}` {
		t.Errorf("who had it open reads %q", torn[:n])
	}
	if err := os.Remove(filepath.Join(b.look.Scratch, "check-facts.json")); err != nil {
		t.Fatal(err)
	}
	b.want(machine.OutcomeSuccess, `{"n":2}{"a":2}`)
}

func TestExecFileNames(t *testing.T) {
	seen := map[string]string{}
	for _, watcher := range []string{"a", "../a", "a/b", "a b", "", ".", strings.Repeat("x", 65), strings.Repeat("x", 66)} {
		name := fileName(watcher)
		if other, twice := seen[name]; twice || strings.ContainsAny(name, "/. ") || len(name) > 70 {
			t.Errorf("%q is %q, as is %q", watcher, name, other)
		}
		seen[name] = watcher
	}
}

func TestExecWithoutFolders(t *testing.T) {
	b := newExecBench(t, `{command: 'sh -c "pwd; echo $WATCHER_DATA"'}`)
	b.look.Directory, b.look.Scratch = "", ""
	b.want(machine.OutcomeSuccess, "/\n\n")
}

func TestExecPlan(t *testing.T) {
	half := func(below time.Duration) time.Duration { return below / 2 }
	for name, test := range map[string]struct {
		gather bool
		p      Planning
		want   time.Duration
	}{
		"Choria's start":                 {false, Planning{Moment: Started}, 0},
		"Choria's start and an interval": {false, Planning{Moment: Started, Interval: time.Minute}, time.Minute},
		"gathering":                      {true, Planning{Moment: Started}, 15 * time.Second},
		"gathering often":                {true, Planning{Moment: Started, Interval: 10 * time.Second}, 5 * time.Second},
		"our own start":                  {false, Planning{Moment: Started, Strict: true}, 1},
		"resumed":                        {false, Planning{Moment: Started, Resumed: true, Interval: time.Minute}, 1},
		"entered":                        {false, Planning{Moment: Entered, Interval: time.Minute}, 1},
		"looked":                         {false, Planning{Moment: Looked}, 0},
		"looked, with an interval":       {false, Planning{Moment: Looked, Interval: time.Minute}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			w := &execWatcher{spec: &execSpec{GatherInitialState: test.gather}}
			test.p.Random = half
			if got, want := w.Plan(test.p), (Due{After: test.want}); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
			test.p.Moment = Jumped
			if got, want := w.Plan(test.p), (Due{After: test.want}); got != want {
				t.Errorf("a jump of the clock makes it %v, want %v", got, want)
			}
		})
	}
	none := (&execWatcher{spec: &execSpec{GatherInitialState: true}}).Plan(Planning{Moment: Started, Random: func(time.Duration) time.Duration { return 0 }})
	if none.After <= 0 {
		t.Error("a random delay of nothing is never")
	}
}

func TestExecPrepared(t *testing.T) {
	got, problems := prepareExecText(t, `{command: x, timeout: 3s, governor: g, governor_timeout: 2m, disown: true}`, true)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got.New = nil
	want := &Prepared{Timeout: 3 * time.Second, Governor: "g", GovernorTimeout: 2 * time.Minute, OnLeave: machine.Finish, Survives: true, Scratch: true}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	got, _ = prepareExecText(t, `{command: x, timeout: "", parse_as_data: "true"}`, false)
	if got.Timeout != 10*time.Second || got.GovernorTimeout != 5*time.Minute {
		t.Errorf("the defaults are %v and %v", got.Timeout, got.GovernorTimeout)
	}
}

func TestExecDiagnostics(t *testing.T) {
	for properties, want := range map[string]string{
		`{timeout: 1s}`: "SC021",
		`{command: 'echo {{ lookup "data.a" "" }}', shell: true}`: "SC350",
		`{command: x, environment: [A=1, B]}`:                     "SC351",
		`{command: x, environment: ["=1"]}`:                       "SC351",
		`{command: x, output_limit: 1MB}`:                         "SC352",
		`{command: x, output_limit: 1023}`:                        "SC352",
		`{command: x, output_limit: 17MiB}`:                       "SC352",
		`{command: x, output_limit: 99999999999TiB}`:              "SC352",
		`{command: x, sandbox: {limits: {memory: lots}}}`:         "SC352",
		`{command: x, sandbox: {limits: {file_size: -1}}}`:        "SC352",
		`{command: ../x}`:                                         "SC353",
		`{command: x, sandbox: {env_allow: [A=1]}}`:               "SC354",
		`{command: "x 'y"}`:                                       "SC355",
		`{command: "'' y"}`:                                       "SC355",
		`{command: x, sandbox: {usr: nobody}}`:                    "SC020",
	} {
		t.Run(properties, func(t *testing.T) {
			_, problems := prepareExecText(t, properties, true)
			if len(problems) != 1 || string(problems[0].Code) != want || problems[0].Line != 1 || problems[0].Column < 2 && want != "SC021" || problems[0].Hint == "" {
				t.Errorf("got %v, want %s", problems, want)
			}
		})
	}
	prepared, problems := prepareExecText(t, `{command: ../x, whatever: 1}`, false)
	if prepared == nil || len(problems) != 2 || problems.HasErrors() {
		t.Errorf("in Choria's reading: %v", problems)
	}
}

func TestExecSandboxDefaults(t *testing.T) {
	prepared, problems := prepareExecText(t, `
command: x
sandbox: {limits: {memory: 64MiB, file_size: 1 GiB, cpu_seconds: 7, processes: 8, open_files: 9}}`, true)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	spec := prepared.New().(*execWatcher).spec
	got := fmt.Sprint(spec.limits.Memory, spec.limits.FileSize, spec.limits.CPUSeconds, spec.limits.Processes, spec.limits.OpenFiles)
	if got != "67108864 1073741824 7 8 9" || !spec.Sandbox.NoNewPrivileges {
		t.Errorf("got %s %v", got, spec.Sandbox.NoNewPrivileges)
	}
	prepared, _ = prepareExecText(t, `{command: x, sandbox: {no_new_privileges: false}}`, true)
	if spec := prepared.New().(*execWatcher).spec; spec.Sandbox.NoNewPrivileges {
		t.Error("no_new_privileges cannot be switched off")
	}
}
