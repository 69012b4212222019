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
	shell   bool   // shell: true
	env     string // NAME=value of its environment
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
		"abbreviated":           {command: `sed --expr={{V}} machine.yaml`, value: "1e touch made", program: "sed", checked: true},
		"abbreviated, script":   {command: `script -q --comm={{V}} /dev/null`, value: "touch made", program: "script", checked: true},
		"two letters, one word": {command: `node -pe {{V}}`, value: `require("child_process").execSync("touch made")`, program: "node", checked: true},
		"a module":              {command: `perl -M{{V}} -e 1`, value: "strict; system(q(touch made))", program: "perl", checked: true},
		"a variable of make":    {command: `make -f Makefile V={{V}}`, value: "$(shell touch made)", program: "make", checked: true},
		"make, by value":        {command: `make -f Makefile {{V}}`, value: "V=$(shell touch made)", program: "make"},
		"a filter":              {command: `tar -I {{V}} -cf /dev/null machine.yaml`, value: "touch made", program: "tar", checked: true},
		"an unknown option":     {command: `tar -cf /dev/null --checkpoint=1 {{V}} machine.yaml`, value: "--checkpoint-action=exec=touch made", program: "tar"},
		"an option's name":      {command: `tar -cf /dev/null --checkpoint=1 --{{V}} machine.yaml`, value: "checkpoint-action=exec=touch made", program: "tar"},
		"behind another's --":   {command: `env -- tar -cf /dev/null --checkpoint=1 {{V}} machine.yaml`, value: "--checkpoint-action=exec=touch made", program: "tar"},
		"/dev/stdin":            {command: `sh /dev/stdin`, value: "touch made", checked: true, input: true},
		"a script of sed":       {command: `sed -f - machine.yaml`, value: "1e touch made", program: "sed", checked: true, input: true},
		"replaced by xargs":     {command: `xargs -I@ sh -c "echo @"`, value: "; touch made", checked: true, input: true},
		"an option by xargs":    {command: `xargs tar -cf /dev/null --checkpoint=1 machine.yaml`, value: `"--checkpoint-action=exec=touch made"`, program: "tar", input: true},
		"a shell in a shell":    {command: `exec sh`, value: "touch made", checked: true, input: true, shell: true},
		"through a pipe":        {command: `cat | sh`, value: "touch made", checked: true, input: true, shell: true},
		"a variable":            {command: `bash wrapper true`, value: "$(touch made)", program: "bash", checked: true, env: "BASH_ENV=/etc/{{V}}"},
		"a variable of env":     {command: `env BASH_ENV=/etc/{{V}} bash wrapper true`, value: "$(touch made)", program: "bash", checked: true},
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
	if c.shell {
		properties += "shell: true\n"
	}
	if c.env != "" {
		properties += "environment: ['" + strings.ReplaceAll(c.env, "{{V}}", `{{ lookup "data.v" }}`) + "']\n"
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
			b.program("Makefile", "all:\n\t@echo $(V)")
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
			if r := b.run(); r.Outcome != machine.OutcomeFail || !strings.Contains(r.Message, "would run what") && !strings.Contains(r.Message, "would be an option") || r.Payload["exit_code"] != -1 {
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
	text := c.text()
	if c.shell {
		text = "sh -c '" + text + "'"
	}
	written, err := splitWords(text, false)
	if err != nil {
		b.Fatal(err)
	}
	words := make([]string, len(written))
	for i, w := range written {
		if words[i], err = b.look.Expand(w.fill); err != nil {
			b.Fatal(err)
		}
	}
	path, err := findProgram(words[0], b.look.Directory, os.Getenv("PATH"))
	if err != nil {
		b.Fatal(err)
	}
	permissive := sandbox.Command{Path: path, Args: words, Env: []string{"PATH=" + os.Getenv("PATH")}, Dir: b.look.Directory, Limit: 1 << 10}
	if c.env != "" {
		permissive.Env = append(permissive.Env, strings.ReplaceAll(c.env, "{{V}}", c.value))
	}
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

// TestB17AValueIsNoOption holds which values may begin with a dash: those that no program takes for an option.
func TestB17AValueIsNoOption(t *testing.T) {
	look := &Look{Data: map[string]any{"v": "-x", "n": "-1.5", "name": "x", "empty": ""}}
	for command, refused := range map[string]bool{
		`tool {{V}}`: true, `tool -n {{V}}`: true, `tool "{{E}}{{V}}"`: true, `tool --{{X}}`: true, `tool -{{X}}`: true, `tool --na{{X}}=1`: true, `tool -- x {{V}}`: true,
		`tool -- {{V}}`: false, `tool -- {{X}} {{V}}`: false, `tool --name={{V}}`: false, `tool -n{{V}}`: false, `tool x{{V}}`: false, `tool {{N}}`: false, `tool {{X}}`: false,
		`tool {{E}}`: false, `tool -v`: false, `tool x -- {{V}}`: false, `tool -{{N}}`: true, `tool -{{E}}`: true,
	} {
		text := strings.NewReplacer("{{V}}", `{{ lookup "data.v" }}`, "{{N}}", `{{ lookup "data.n" }}`, "{{X}}", `{{ lookup "data.name" }}`, "{{E}}", `{{ lookup "data.empty" }}`).Replace(command)
		if _, err := look.ExpandWords(commandOf(t, text, false), false); (err != nil) != refused || refused && !strings.Contains(err.Error(), "would be an option") {
			t.Errorf("%s: %v", command, err)
		}
	}
	for command, refused := range map[string]bool{
		`xargs rm`: true, `sudo xargs rm`: true, `xargs -- rm`: true, `xargs -I@ rm @`: true, `xargs -i rm {}`: true, `xargs rm --`: false, `xargs -I @ rm -- @`: false,
		`xargs -I@ rm ./@`: false, `cat`: false,
	} {
		if err := inputOption(strings.Fields(command), []byte("a b\x00-rf")); (err != nil) != refused {
			t.Errorf("%s: %v", command, err)
		}
		if err := inputOption(strings.Fields(command), []byte("a-b -5 c")); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}
