//go:build linux

package watchers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers/sandbox"
)

// hostileCommand is a command of which a value could make more than it says: by it a file named made comes to be.
type hostileCommand struct {
	command string // as it is written; {{V}} is the template of the value
	value   string
	program string // that must be installed; "" is one that every system has
	checked bool   // it is known as soon as the manifest is read
	input   bool   // the value is the standard input
}

func hostileCommands() map[string]hostileCommand {
	return map[string]hostileCommand{
		"sh -c":                 {command: `sh -c "echo {{V}}"`, value: "; touch made", checked: true},
		"sh -c, substituted":    {command: `sh -c "echo {{V}}"`, value: "$(touch made)", checked: true},
		"options in front":      {command: `sh -e +x -c "echo '{{V}}'"`, value: "'; touch made; '", checked: true},
		"behind env":            {command: `env -i A=1 sh -c "echo {{V}}"`, value: "`/usr/bin/touch made`", checked: true},
		"behind xargs":          {command: `xargs -n1 sh -c "echo {{V}}"`, value: "| touch made", checked: true},
		"behind a wrapper":      {command: `./wrapper sh -c "echo {{V}}"`, value: "\ntouch made", checked: true},
		"env -S":                {command: `env -S "echo {{V}}"`, value: `a' '`, checked: true},
		"awk":                   {command: `awk 'BEGIN {print "{{V}}"}'`, value: `"; system("touch made"); "`, program: "awk", checked: true},
		"sed":                   {command: `sed -n -e {{V}} machine.yaml`, value: "1e touch made", program: "sed", checked: true},
		"perl":                  {command: `perl -e "print '{{V}}'"`, value: "'; system('touch made'); '", program: "perl", checked: true},
		"python":                {command: `python3 -c "print('{{V}}')"`, value: "'); open('made', 'w'); ('", program: "python3", checked: true},
		"an option with a text": {command: `python3 {{V}}`, value: "-copen('made', 'w')", program: "python3"},
		"a shell by its value":  {command: `{{ lookup "data.shell" }} -c {{V}}`, value: "touch made"},
		"an option by value":    {command: `sh {{ lookup "data.option" }} {{V}}`, value: "touch made"},
		"standard input":        {command: `sh`, value: "touch made", checked: true, input: true},
		"input by value":        {command: `{{ lookup "data.shell" }}`, value: "touch made", input: true},
	}
}

func (c *hostileCommand) text() string {
	return strings.ReplaceAll(c.command, "{{V}}", `{{ lookup "data.v" }}`)
}

func (c *hostileCommand) properties() string {
	properties := "command: '" + strings.ReplaceAll(c.text(), "'", "''") + "'\n"
	if c.input {
		properties += "input: data.v\n"
	}
	return properties
}

// TestB17NoValueIsRun gives values to commands that would run them. Each is run by itself first, so that it is known to do what it is to do; the
// manifest is refused then, or the look where only the value shows it, and nothing is run.
func TestB17NoValueIsRun(t *testing.T) {
	for name, c := range hostileCommands() {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(c.program); c.program != "" && err != nil {
				t.Skipf("%s is not installed, so that its case is not tried", c.program)
			}
			b := newExecBench(t, "command: cat")
			b.look.Data = map[string]any{"v": c.value, "shell": "/bin/sh", "option": "-c"}
			b.program("wrapper", `exec "$@"`)
			b.program("machine.yaml", "")
			if name != "env -S" { // which may run a program without a shell
				c.runs(b)
			}
			prepared, problems := prepareExecText(t, c.properties(), true)
			if refused := problems.HasErrors(); refused != c.checked || refused && problems[0].Code != CodeExecShell {
				t.Errorf("the manifest: %v", problems)
			}
			if c.checked {
				return
			}
			b.watcher = prepared.New().(*execWatcher)
			if r := b.run(); r.Outcome != machine.OutcomeFail || !strings.Contains(r.Message, "would run what") || r.Payload["exit_code"] != -1 {
				t.Errorf("got %s %q", r.Outcome, r.Message)
			}
			if _, err := os.Stat(filepath.Join(b.look.Directory, "made")); err == nil {
				t.Error("the value was run")
			}
		})
	}
}

// runs runs the command as it is, and holds that it makes the file.
func (c *hostileCommand) runs(b *execBench) {
	b.Helper()
	words, err := splitWords(c.text())
	if err != nil {
		b.Fatal(err)
	}
	for i := range words {
		if words[i], err = b.look.Expand(words[i]); err != nil {
			b.Fatal(err)
		}
	}
	path, err := findProgram(words[0], b.look.Directory, os.Getenv("PATH"))
	if err != nil {
		b.Fatal(err)
	}
	permissive := sandbox.Command{Path: path, Args: words, Env: []string{"PATH=" + os.Getenv("PATH")}, Dir: b.look.Directory, Limit: 1 << 10}
	if c.input {
		permissive.Input = []byte(c.value)
	}
	result, err := permissive.Run(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	made := filepath.Join(b.look.Directory, "made")
	if _, err := os.Stat(made); err != nil {
		b.Fatalf("the test cannot fail: the command does no harm: %s%s", result.Stdout, result.Stderr)
	}
	if err := os.Remove(made); err != nil {
		b.Fatal(err)
	}
}

// TestB17ValuesThatAreSafe holds the ways that the documents name: they are taken, and a value stays a value.
func TestB17ValuesThatAreSafe(t *testing.T) {
	const hostile = "'; touch made; $(touch made) \"`touch made`"
	for name, properties := range map[string]string{
		"environment":        `{command: 'sh -c "printf %s \"$V\""', environment: ['V={{ lookup "data.v" }}']}`,
		"shell: true":        `{command: 'printf %s "$V"', shell: true, environment: ['V={{ lookup "data.v" }}']}`,
		"behind the text":    `{command: 'sh -c "printf %s \"$1\"" sh {{ lookup "data.v" }}'}`,
		"an argument":        `{command: 'printf %s {{ lookup "data.v" }}'}`,
		"standard input":     `{command: cat, input: data.v}`,
		"input of sh -c":     `{command: 'sh -c cat', input: data.v}`,
		"an argument of awk": `{command: 'awk "BEGIN {printf \"%s\", ENVIRON[\"V\"]}"', environment: ['V={{ lookup "data.v" }}']}`,
		"behind env":         `{command: 'env printf %s {{ lookup "data.v" }}'}`,
	} {
		b := newExecBench(t, properties)
		b.look.Data = map[string]any{"v": hostile}
		b.want(machine.OutcomeSuccess, hostile)
		if _, err := os.Stat(filepath.Join(b.look.Directory, "made")); err == nil {
			t.Errorf("%s: the value was run", name)
		}
	}
}

// TestB17TemplatesInPrograms holds files that are run, and names of variables, to having no templates.
func TestB17TemplatesInPrograms(t *testing.T) {
	for properties, want := range map[string]diag.Code{
		`{path: p, contents: "#!/bin/sh\necho {{ lookup \"data.v\" }}", owner: root, group: root, mode: "0644"}`: CodeFileRuns,
		`{path: p, content: "echo {{ lookup \"data.v\" }}", owner: root, group: root, mode: "0755"}`:             CodeFileRuns,
		`{path: p, contents: "#!/bin/sh\necho", owner: root, group: root, mode: "0755"}`:                         "",
		`{path: p, contents: "{{ lookup \"data.v\" }}", owner: root, group: root, mode: "0644"}`:                 "",
	} {
		spec := watcherOf(t, properties, true)
		list := File().Check(spec)
		if want == "" && len(list) > 0 || want != "" && (len(list) != 1 || list[0].Code != want || list[0].Severity != diag.Error) {
			t.Errorf("%s: %v", properties, list)
		}
		spec.Strict = false
		if list = File().Check(spec); want != "" && (len(list) != 1 || list[0].Severity != diag.Warning) {
			t.Errorf("without format, %s: %v", properties, list)
		}
	}
	_, list := prepareExecText(t, `{command: ./check, environment: ['{{ lookup "data.name" }}=x']}`, true)
	if len(list) != 1 || list[0].Code != CodeExecEnvironment {
		t.Errorf("the name of a variable: %v", list)
	}
}
