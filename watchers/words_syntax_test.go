package watchers

import (
	"testing"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// TestShellSyntax holds what a shell would obey, and what it would not or is meant as it stands.
func TestShellSyntax(t *testing.T) {
	for command, want := range map[string]string{
		"echo hello | grep -q nothere": "|", "echo ok && false": "&&", "a || b": "||", "a; b": ";", "a &": "&", "echo hi > out.txt": ">", "echo 2>&1": ">&",
		"cat <in": "<", "ls *.yaml": "*", "ls a?": "?", "~/bin/check": "~", "cp a ~": "~", "echo $HOME/bin": "$HOME", `echo "${HOME}"`: "${HOME}",
		"test $(id -u) = 0": "$(", `echo "$(id)"`: "$(", "echo `id`": "`", "cd /tmp\necho hello\n": "a new line", "echo a\n\nb": "a new line",
		"curl http://x/ | grep x": "|",
	} {
		if got := ShellSyntax(command, false); got != want {
			t.Errorf("%q: %q, not %q", command, got, want)
		}
	}
	for _, command := range []string{
		"sh -c 'echo hello | grep -q hello'", `sh -c "echo $HOME"`, `awk "{print $NF}" x`, `awk '{print $1}' x`, `echo '$HOME' \$HOME "a | b" 'a*' \*`, "echo $1 $ $$ a$",
		"curl http://x/?a=b&c=d", `find . -name '*.x' -exec rm {} ;`, "find . -exec rm {} \\;", `./check {{ lookup "a|b" "$HOME" }}`, "[ -f x ]", "echo a~b ~x",
		"\n./check\n", "./check --a \\\n", "ssh host uptime | wc", "", "'",
	} {
		if got := ShellSyntax(command, false); got != "" {
			t.Errorf("%q: %q", command, got)
		}
	}
}

// TestCommandsWithShellSyntaxAreWarnedAbout holds what check says of commands that no shell reads, and of variables that nothing replaces.
func TestCommandsWithShellSyntaxAreWarnedAbout(t *testing.T) {
	for properties, want := range map[string]diag.Code{
		`{command: echo hello | grep -q nothere}`:                             CodeShellSyntax,
		`{command: echo hello | grep -q nothere, shell: true}`:                "",
		`{command: check, environment: ["PATH=/opt/x:$PATH"]}`:                CodeExecVariable,
		`{command: check, environment: ["A=${B}"]}`:                           CodeExecVariable,
		`{command: check, environment: ["A=5$", 'B={{ lookup "a" "$B" }}x']}`: "",
	} {
		for _, own := range []bool{true, false} {
			_, list := prepareExecText(t, properties, own)
			if want == "" && len(list) > 0 || want != "" && (len(list) != 1 || list[0].Code != want || list[0].Severity != diag.Warning) {
				t.Errorf("%s: %v", properties, list)
			}
		}
	}
}
