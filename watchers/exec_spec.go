package watchers

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers/sandbox"
)

// The codes of what the exec watcher's properties can have wrong.
const (
	CodeExecShell       diag.Code = "SC350" // a value in what a shell or another interpreter runs
	CodeExecEnvironment diag.Code = "SC351" // an environment entry that is not NAME=value
	CodeExecSize        diag.Code = "SC352" // a size that is none, or out of range
	CodeExecPath        diag.Code = "SC353" // a command outside of the machine's directory
	CodeExecWords       diag.Code = "SC355" // a command that cannot be split into words
	CodeExecAllow       diag.Code = "SC354" // an entry of env_allow that is not a variable's name
	CodeExecVariable    diag.Code = "SC357" // a variable in an environment entry, which nothing expands
)

const (
	execTimeout   = 10 * time.Second
	minExecOutput = 1 << 10
	maxExecOutput = 16 << 20
)

// execSpec is the properties of an exec watcher.
type execSpec struct {
	// Command is the program and its arguments, split into words as a shell would; values are filled in after the
	// split, so that a value is always one argument. A value in an argument that a shell or another interpreter would run, as behind
	// sh -c, is refused, and so is a run where a value would be an option: give values in environment, or behind --. A program with a slash in it
	// is looked for in the machine's directory, one without in PATH and then in the machine's directory.
	Command Command `yaml:"command,required"`
	// Environment is a list of NAME=value that the command gets beside the host's own variables or, in a manifest without format, beside
	// PATH, MACHINE_NAME, MACHINE_WATCHER_NAME, MACHINE_DEADLINE, WATCHER_DATA and WATCHER_FACTS alone, as with Choria. A variable that programs run
	// or load code from, such as BASH_ENV, holds no such values.
	Environment []Text `yaml:"environment"`
	// Timeout ends the command and all it started.
	Timeout strict.Duration `yaml:"timeout" default:"10s"`
	// Governor is the name of a limit on how many run at once, shared with other watchers.
	Governor string `yaml:"governor"`
	// GovernorTimeout is how long the governor is waited for.
	GovernorTimeout strict.Duration `yaml:"governor_timeout" default:"5m"`
	// ParseAsData reads the standard output as a JSON object whose top-level keys are set in the machine's data, as one
	// change; null deletes a key. At most 10,000 keys.
	ParseAsData bool `yaml:"parse_as_data"`
	// ParseOutput reads the standard output as a JSON object, which is the output in the payload of success then.
	ParseOutput bool `yaml:"parse_output"`
	// Input is an expression whose value the command finds on its standard input: a text as it is, anything else as one
	// row of JSON, at most 1 MiB. Without it the input is empty. A command that is known to run what it reads is refused.
	Input *Formula `yaml:"input"`
	// SuppressSuccessAnnounce publishes no state event for runs that succeed.
	SuppressSuccessAnnounce bool `yaml:"suppress_success_announce"`
	// GatherInitialState runs the command for the first time after a short random delay from the machine's start.
	GatherInitialState bool `yaml:"gather_initial_state"`
	// Disown starts the command in a session of its own and leaves it running when the host stops. Without
	// parse_as_data or parse_output its output is not read.
	Disown bool `yaml:"disown"`
	// Shell runs the whole command by /bin/sh -c. Nothing is filled into the command then, as a value would be
	// interpreted; give values in environment and write "$NAME".
	Shell bool `yaml:"shell"`
	// OutputLimit is how much of the standard output is kept, 1KiB to 16MiB. What is beyond is read and dropped.
	OutputLimit string `yaml:"output_limit" default:"1MiB"`
	// Sandbox lowers the command's rights below the host's. Without it the command has the host's own.
	Sandbox *execSandbox `yaml:"sandbox"`

	outputLimit int
	limits      sandbox.Limits
}

// execSandbox is what a command may not do. A declared sandbox, even an empty one, passes on none of the host's
// environment but PATH, none of its open descriptors, and sets the file mode mask 077.
type execSandbox struct {
	// User is the name or number of the user that the command runs as. A number without an account needs a group.
	User string `yaml:"user"`
	// Group is the name or number of the command's group; by default the user's own.
	Group string `yaml:"group"`
	// EnvAllow names the host's environment variables that the command gets.
	EnvAllow []string `yaml:"env_allow"`
	// Limits bounds what the command may use.
	Limits execLimits `yaml:"limits"`
	// NoNewPrivileges keeps setuid programs such as sudo from raising the command again.
	NoNewPrivileges bool `yaml:"no_new_privileges" default:"true"`
}

// execLimits are the kernel's resource limits; what is not given is the host's own.
type execLimits struct {
	// Memory is the address space of each process, such as 256MiB.
	Memory string `yaml:"memory"`
	// CPUSeconds is the processor time of each process.
	CPUSeconds uint64 `yaml:"cpu_seconds" max:"31536000"`
	// Processes is how many the user may have in all; the kernel does not hold root to it.
	Processes uint64 `yaml:"processes" max:"4194304"`
	// OpenFiles is how many descriptors each process may have.
	OpenFiles uint64 `yaml:"open_files" max:"1048576"`
	// FileSize is how large a file the command may write, such as 10MiB.
	FileSize string `yaml:"file_size"`
}

// UnmarshalNode decodes the keys and then holds them against each other.
func (s *execSpec) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	type keys execSpec
	list := strict.Decode(n, (*keys)(s), opts)
	s.Timeout = cmp.Or(s.Timeout, strict.Duration(execTimeout))
	s.checkCommand(n.Get("command"), opts, &list)
	s.checkEnvironment(n.Get("environment"), opts, &list)
	s.outputLimit = int(readSize(n.Get("output_limit"), s.OutputLimit, minExecOutput, maxExecOutput, &list))
	if s.Sandbox != nil {
		s.checkSandbox(n.Get("sandbox"), &list)
	}
	return list
}

func (s *execSpec) checkCommand(n *strict.Node, opts strict.Options, list *diag.List) {
	if n == nil || s.Command.text == "" {
		return
	}
	if s.Shell {
		s.checkShell(n, list)
		return
	}
	err := s.Command.split()
	words := texts(s.Command.words)
	switch {
	case isMarkError(err):
		list.Add(diag.Error, marks.CodeMark, n.Pos, marks.Mend(err), "command: %v", err)
	case err != nil:
		list.Add(diag.Error, CodeExecWords, n.Pos, "close the quote, or write a backslash before it", "command: %v", err)
	case len(words) == 0 || words[0] == "":
		list.Add(diag.Error, CodeExecWords, n.Pos, "write the program as the first word", "command %q names no program", s.Command.text)
	case strings.Contains(words[0], "/") && leavesDirectory(s.Command.words[0].fill):
		// Choria runs such a command, so that only our own format refuses it.
		list.Add(opts.Unknown, CodeExecPath, n.Pos, "write a path below the machine's directory, or an absolute one",
			"command %q leaves the machine's directory", words[0])
	}
	if err != nil {
		return
	}
	if err := interpreted(s.Command.words, words, s.Input != nil); err != nil {
		list.Add(diag.Error, CodeExecShell, n.Pos, interpretedHint(opts.Marked), "command: %v", err)
	}
	if syntax := ShellSyntax(s.Command.text, opts.Marked); syntax != "" {
		list.Add(diag.Warning, CodeShellSyntax, n.Pos, "set shell: true, or put it between single quotes where it is meant as it stands",
			"command: no shell reads it, and %s means nothing without one", syntax)
	}
}

// checkShell checks a command that a shell reads, into which nothing is filled: a value would be program text.
func (s *execSpec) checkShell(n *strict.Node, list *diag.List) {
	command, marked := s.Command.text, s.Command.marked
	filled := ""
	if !marked && isTemplate(command) || marked && templateCall.MatchString(command) {
		filled = "the template"
	}
	pieces, _ := marks.Split(command)
	if marked && slices.ContainsFunc(pieces, func(p marks.Piece) bool { return p.Mark && marks.Resembles(p.Text) }) {
		filled = "the expression"
	}
	if filled != "" {
		list.Add(diag.Error, CodeExecShell, n.Pos, "move "+filled+" into environment, such as NAME="+valueForm(marked)+`, and write "$NAME"`,
			"a shell would interpret what %s gives", filled)
	}
	if s.Input != nil && interpreters().runInput(command) {
		list.Add(diag.Error, CodeExecShell, n.Pos, interpretedHint(marked), "command: a program in it would run what input gives: it reads its program from the standard input")
	}
}

// templateCall is a template of an older manifest in a text where other programs have templates of their own.
var templateCall = regexp.MustCompile(`\{\{-?\s*(lookup|Title|Capitalize|ToLower|ToUpper|StringJoin|Base64Encode|Base64Decode)\b`)

func (s *execSpec) checkEnvironment(n *strict.Node, opts strict.Options, list *diag.List) {
	for i := range s.Environment {
		entry := s.Environment[i].String()
		_, known := s.Environment[i].Literal()
		name, value, found := strings.Cut(entry, "=")
		if !found || name == "" || strings.ContainsRune(entry, 0) {
			list.Add(diag.Error, CodeExecEnvironment, n.Items[i].Pos, "write NAME=value", "environment: %q sets no variable", entry)
			continue
		}
		if !known && !strings.Contains(s.Environment[i].Before(), "=") {
			list.Add(diag.Error, CodeExecEnvironment, n.Items[i].Pos, "write the name itself; some variables make programs run what they hold",
				"environment: the name in %q is a value", brief(entry))
		}
		if !known && codeVariable(entry) != "" {
			list.Add(diag.Error, CodeExecShell, n.Items[i].Pos, "give the value in a variable of another name, and let a script of your own make "+name+" of it",
				"environment: programs run what %s holds, and with it the value", name)
		}
		if variable := shellVariable(value, opts.Marked); variable != "" {
			list.Add(diag.Warning, CodeExecVariable, n.Items[i].Pos, "write the value itself, or let a shell set it: shell: true, and "+name+"=... in front of the command",
				"environment: nothing replaces %s in the value of %s", variable, name)
		}
	}
}

func (s *execSpec) checkSandbox(n *strict.Node, list *diag.List) {
	for i, name := range s.Sandbox.EnvAllow {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			list.Add(diag.Error, CodeExecAllow, n.Get("env_allow").Items[i].Pos, "write the variable's name alone; values belong into environment",
				"env_allow: %q is not the name of a variable", name)
		}
	}
	l, node := s.Sandbox.Limits, n.Get("limits")
	s.limits = sandbox.Limits{
		Memory:     readSize(node.Get("memory"), l.Memory, 1<<20, 1<<62, list),
		FileSize:   readSize(node.Get("file_size"), l.FileSize, 1, 1<<62, list),
		CPUSeconds: l.CPUSeconds,
		Processes:  l.Processes,
		OpenFiles:  l.OpenFiles,
	}
}
