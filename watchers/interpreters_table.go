package watchers

import "maps"

// interpreter says which of its arguments a program runs as program text, while the others are mere values to it. The options are those of the
// programs' manuals.
type interpreter struct {
	text        string                  // letters of options whose value is text: -e TEXT and -eTEXT
	long        []string                // long options whose value is text: --eval TEXT, --eval=TEXT and --ev=TEXT
	all         bool                    // every argument is text
	shell       bool                    // -c is an option without a value, and the first operand is text where it is given
	operand     int                     // which operand is text where no option has given any, counted from 1; 0 is none
	verb        string                  // that operand is text behind this word only, which is the first one
	joined      bool                    // what follows a text that is an operand belongs to it
	assignments bool                    // operands NAME=VALUE are text
	behind      bool                    // behind -- stand the arguments of a shell
	file        string                  // letters of options whose value is a file with the text, in place of that operand
	files       []string                // long options of that kind
	value       string                  // letters of other options that have a value: -u VALUE and -uVALUE
	longs       []string                // long options of that kind
	attached    string                  // letters of options that have a value in the same word only, or none: -i and -i.old
	sets        string                  // letters of options whose value is a set of perl's letters, behind which others may follow: -CSe
	last        string                  // letters of options behind which, and their value, everything is for the program that is run
	operands    int                     // how many operands may stand in front of an option
	input       bool                    // without a text and an operand it runs its standard input
	bare        int                     // with fewer operands than that, and without a text, it or a shell that it starts runs its standard input
	starts      string                  // letters of options by which it starts such a shell where there is no operand
	common      bool                    // its name is a common word: it is looked for in front and behind carriers only
	dash        bool                    // its options are words behind one dash
	opens       string                  // letters of options by which it opens operands as perl's <> does, which runs them: 'command|'
	plus        bool                    // operands +TEXT are text
	modules     map[string]*interpreter // modules of python that run an argument, by their name behind -m
}

// everywhere is more operands than a command has: options may stand behind all of them.
const everywhere = 1 << 20

// interpreterTable is interpreters by their names without a version.
type interpreterTable map[string]*interpreter

// interpreters are the programs that run an argument. What clients of databases are given is not counted.
// What is missing here is not known: the list helps an author, and confines nobody.
func interpreters() interpreterTable {
	all := languages()
	maps.Copy(all, starters())
	maps.Copy(all, tools())
	maps.Copy(all, editors())
	return all
}

// languages are shells and the interpreters of other languages.
func languages() interpreterTable {
	shell := &interpreter{shell: true, longs: []string{"rcfile", "init-file"}, input: true}
	node := &interpreter{common: true, text: "ep", long: []string{"eval", "print", "pe"}, value: "r", longs: []string{"require", "import"}, input: true}
	awk := &interpreter{common: true, text: "e", long: []string{"source"}, operand: 1, file: "fE", files: []string{"file", "exec"}, value: "Fvi",
		longs: []string{"field-separator", "assign", "include"}}
	pwsh := &interpreter{shell: true, dash: true, long: []string{"encodedcommand", "ec"}, joined: true, input: true,
		longs: []string{"executionpolicy", "ep", "workingdirectory", "wd", "inputformat", "outputformat", "configurationname", "settingsfile"}}
	evaluated := &interpreter{common: true, text: "e", long: []string{"eval"}, input: true}
	python := &interpreter{text: "c", last: "cm", value: "WX", input: true, modules: map[string]*interpreter{
		"timeit": {text: "s", long: []string{"setup"}, operand: 1, joined: true, value: "nru", longs: []string{"number", "repeat", "unit"}},
	}}
	all := interpreterTable{
		"awk": awk, "gawk": awk, "mawk": awk, "nawk": awk, "node": node, "nodejs": node, "bun": node, "pwsh": pwsh, "powershell": pwsh,
		"R": evaluated, "elixir": evaluated, "groovy": evaluated, "raku": evaluated, "gnuplot": evaluated,
		"fish":   {text: "cC", long: []string{"command", "init-command"}, input: true},
		"nu":     {common: true, text: "ce", long: []string{"commands", "execute"}, input: true},
		"python": python, "pypy": python,
		"perl":      {text: "eEMm", attached: "iFIx", sets: "CD", opens: "npi", input: true},
		"ruby":      {text: "e", value: "rICE", attached: "iFKx", input: true},
		"php":       {text: "rBRE", long: []string{"run", "process-begin", "process-code", "process-end"}, file: "f", files: []string{"file"}, value: "cdtz", input: true},
		"lua":       {text: "e", value: "l", input: true},
		"luajit":    {text: "e", value: "l", input: true},
		"Rscript":   {text: "e", input: true},
		"julia":     {text: "eE", long: []string{"eval", "print"}, value: "LJpCt", input: true},
		"guile":     {text: "c", last: "cs", value: "leL", input: true},
		"deno":      {common: true, long: []string{"eval"}, operand: 2, verb: "eval", operands: everywhere},
		"osascript": {text: "e", value: "l", input: true},
		"expect":    {common: true, text: "c", input: true},
		"tclsh":     {input: true}, "wish": {common: true, input: true}, "source": {common: true, input: true},
		"sed": {common: true, text: "e", long: []string{"expression"}, operand: 1, file: "f", files: []string{"file"}, value: "l", longs: []string{"line-length"},
			attached: "i", operands: everywhere},
		"dc": {common: true, text: "e", long: []string{"expression"}, file: "f", files: []string{"file"}, input: true},
		"m4": {common: true, text: "D", long: []string{"define"}, value: "I", input: true},
		"ed": {common: true, bare: everywhere},
	}
	for _, name := range []string{"sh", "ash", "bash", "csh", "dash", "elvish", "hush", "ksh", "lksh", "mksh", "oksh", "osh", "posh", "rbash", "tcsh", "xonsh", "yash", "zsh"} {
		all[name] = shell
	}
	return all
}

// starters are programs that start a shell.
func starters() interpreterTable {
	user := &interpreter{text: "c", long: []string{"command", "session-command"}, value: "sgGwu", behind: true, bare: 2,
		longs: []string{"shell", "group", "supp-group", "whitelist-environment", "user"}, operands: everywhere}
	later := &interpreter{common: true, file: "f", value: "qt", bare: everywhere, operands: everywhere}
	every := &interpreter{common: true, all: true}
	copies := &interpreter{common: true, text: "oSD", value: "bBcFiJlPRsX", operands: everywhere}
	return interpreterTable{
		"su": user, "runuser": user, "at": later, "batch": later, "watch": every, "tmux": every, "scp": copies, "sftp": copies,
		"parallel": {common: true, all: true, input: true},
		"ssh":      {common: true, text: "o", operand: 2, joined: true, value: "BbcDEeFIiJLlmpQRSWw", operands: 1, bare: 2},
		"sg":       {common: true, text: "c", operand: 2, operands: everywhere, bare: 2},
		"capsh":    {behind: true},
		"crontab":  {common: true, value: "u", input: true},
		"script":   {common: true, text: "c", long: []string{"command"}, value: "BEImoOTt", operands: everywhere, bare: everywhere},
		"flock":    {common: true, text: "c", long: []string{"command"}, value: "wE", longs: []string{"wait", "timeout", "conflict-exit-code"}, operands: 1},
		"env":      {common: true, text: "S", long: []string{"split-string"}, value: "uC", longs: []string{"unset", "chdir"}},
		"npx":      {common: true, text: "c", long: []string{"call"}, value: "pw", longs: []string{"package", "workspace"}},
		"chroot":   {common: true, longs: []string{"userspec", "groups"}, bare: 2},
		"nsenter":  {common: true, value: "tSG", longs: []string{"target", "setuid", "setgid"}, bare: 1},
		"unshare": {common: true, value: "RwSG", bare: 1, longs: []string{
			"root", "wd", "setuid", "setgid", "map-user", "map-group", "map-users", "map-groups", "propagation", "setgroups", "monotonic", "boottime",
		}},
		"pkexec": {common: true, longs: []string{"user"}, bare: 1},
		"sudo": {common: true, value: "ugCDhpRrTtU", starts: "si", longs: []string{
			"user", "group", "close-from", "chdir", "host", "prompt", "chroot", "role", "command-timeout", "type", "other-user",
		}},
		"doas": {common: true, value: "uC", starts: "s"},
	}
}

// tools are programs that run an argument beside what they are for.
func tools() interpreterTable {
	return interpreterTable{
		"make":  {common: true, text: "E", long: []string{"eval"}, assignments: true, file: "f", files: []string{"file", "makefile"}, value: "CIoW", attached: "jlO", operands: everywhere},
		"gmake": {text: "E", long: []string{"eval"}, assignments: true, file: "f", files: []string{"file", "makefile"}, value: "CIoW", attached: "jlO", operands: everywhere},
		"tar": {common: true, text: "IF", value: "CfTXbgHKLNV", operands: everywhere, long: []string{
			"use-compress-program", "to-command", "checkpoint-action", "info-script", "new-volume-script", "rsh-command", "rmt-command",
		}, longs: []string{"directory", "file", "files-from", "exclude-from"}},
		"git":   {common: true, text: "c", long: []string{"upload-pack", "receive-pack", "exec", "exec-path", "config", "config-env"}, value: "C", operands: everywhere},
		"rsync": {common: true, text: "eM", long: []string{"rsh", "rsync-path", "remote-option"}, value: "fBT@", operands: everywhere},
	}
}

// editors run commands of theirs that are arguments, and these run programs.
func editors() interpreterTable {
	vim := &interpreter{common: true, text: "c", long: []string{"cmd"}, plus: true, value: "SsWwuUiTtq", operands: everywhere}
	ex := *vim
	ex.bare, ex.value = everywhere, "SwWuUiTtq" // -s says that the commands come from the standard input
	all := interpreterTable{"ex": &ex}
	for _, name := range []string{"vi", "vim", "nvim", "gvim", "view", "rvim", "rview", "vimdiff", "evim", "eview"} {
		all[name] = vim
	}
	return all
}

// carriers are programs that run another one with the arguments that are left, by their names without a version: linux is linux64, and x86_ x86_64.
func carriers() []string {
	return []string{
		"busybox", "bwrap", "cgexec", "chpst", "chronic", "chroot", "chrt", "cpulimit", "dbus-run-session", "docker", "doas", "eatmydata", "env", "exec",
		"fakeroot", "find", "firejail", "flock", "gosu", "i386", "ionice", "ip", "kubectl", "linux", "logsave", "ltrace", "nerdctl", "nice", "nohup", "nsenter",
		"numactl", "pkexec", "podman", "prlimit", "proot", "runcon", "runuser", "schroot", "setarch", "setpriv", "setsid", "setuidgid", "ssh", "ssh-agent",
		"sshpass", "start-stop-daemon", "stdbuf", "strace", "su", "su-exec", "sudo", "systemd-run", "taskset", "time", "timeout", "tini", "toybox",
		"unbuffer", "unshare", "valgrind", "x86_", "xargs",
	}
}

// accounts are programs to which a shell is the shell of an account, and -c a comment.
func accounts() []string { return []string{"adduser", "chsh", "useradd", "usermod"} }

// codeVariables are environment variables whose value programs run, expand as a shell would, or load as code. Search paths are not among them: like
// the name of the program itself, they may be values.
func codeVariables() []string {
	return []string{
		"BASH_ENV", "BROWSER", "DYLD_INSERT_LIBRARIES", "EDITOR", "GIT_ASKPASS", "GIT_CONFIG_PARAMETERS", "GIT_EDITOR", "GIT_EXTERNAL_DIFF", "GIT_PAGER",
		"GIT_PROXY_COMMAND", "GIT_SEQUENCE_EDITOR", "GIT_SSH", "GIT_SSH_COMMAND", "GNUMAKEFLAGS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "LD_AUDIT",
		"LD_PRELOAD", "LESSCLOSE", "LESSOPEN", "LUA_INIT", "MAKEFLAGS", "MANPAGER", "NODE_OPTIONS", "PAGER", "PERL5DB", "PERL5OPT", "PROMPT_COMMAND", "PS0",
		"PS1", "PS2", "PS4", "PYTHONSTARTUP", "RSYNC_CONNECT_PROG", "RSYNC_RSH", "RUBYOPT", "SHELLOPTS", "SSH_ASKPASS", "SUDO_ASKPASS", "TAR_OPTIONS", "VISUAL",
		"_JAVA_OPTIONS",
	}
}
