package watchers

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// interpreter says which of its arguments a program runs as program text, while the others are mere values to it. The options are those of the
// programs' manuals.
type interpreter struct {
	text     string   // letters of options whose value is text: -e TEXT and -eTEXT
	long     []string // long options whose value is text: --eval TEXT and --eval=TEXT
	shell    bool     // -c is an option without a value, and the first operand is text where it is given
	operand  int      // which operand is text where no option has given any, counted from 1; 0 is none
	file     string   // letters of options whose value is a file with the text, in place of that operand
	joined   bool     // what follows a text that is an operand belongs to it
	value    string   // letters of other options that have a value: -u VALUE and -uVALUE
	longs    []string // long options of that kind
	attached string   // letters of options that have a value in the same word only, or none: -i and -i.old
	last     string   // letters of options behind which, and their value, everything is for the program that is run
	operands int      // how many operands may stand in front of an option
	input    bool     // without a text and an operand it runs its standard input
	common   bool     // its name is a common word: it is looked for in front and behind carriers only
	dash     bool     // its options are words behind one dash
}

// everywhere is more operands than a command has: options may stand behind all of them.
const everywhere = 1 << 20

// interpreters are the programs that run an argument, by their names without a version. What clients of databases are given is not counted.
func interpreters() map[string]*interpreter {
	shell := &interpreter{shell: true, longs: []string{"rcfile", "init-file"}, input: true}
	user := &interpreter{text: "c", long: []string{"command", "session-command"}, value: "sgGwu",
		longs: []string{"shell", "group", "supp-group", "whitelist-environment", "user"}, operands: everywhere}
	node := &interpreter{common: true, text: "ep", long: []string{"eval", "print"}, value: "r", longs: []string{"require", "import"}, input: true}
	awk := &interpreter{common: true, text: "e", long: []string{"source"}, operand: 1, file: "fE", value: "Fvi"}
	all := map[string]*interpreter{
		"su": user, "runuser": user, "awk": awk, "gawk": awk, "mawk": awk, "nawk": awk, "node": node, "nodejs": node, "bun": node,
		"fish": {text: "cC", long: []string{"command", "init-command"}, input: true},
		"ssh":  {common: true, text: "o", operand: 2, joined: true, value: "BbcDEeFIiJLlmpQRSWw", operands: 1},
		"pwsh": {shell: true, dash: true, long: []string{"encodedcommand", "ec"}, joined: true, input: true,
			longs: []string{"executionpolicy", "ep", "workingdirectory", "wd", "inputformat", "outputformat", "configurationname", "settingsfile"}},
		"python":  {text: "c", last: "cm", value: "WX", input: true},
		"pypy":    {text: "c", last: "cm", value: "WX", input: true},
		"perl":    {text: "eE", attached: "iFmMICDx", input: true},
		"ruby":    {text: "e", value: "rICE", attached: "iFKx", input: true},
		"php":     {text: "rBRE", long: []string{"run", "process-begin", "process-code", "process-end"}, value: "cdftz", input: true},
		"lua":     {text: "e", value: "l", input: true},
		"luajit":  {text: "e", value: "l", input: true},
		"Rscript": {text: "e"},
		"julia":   {text: "eE", long: []string{"eval", "print"}, value: "LJpCt", input: true},
		"guile":   {text: "c", last: "cs", value: "leL"},
		"expect":  {common: true, text: "c", input: true},
		"sed":     {common: true, text: "e", long: []string{"expression"}, operand: 1, file: "f", value: "l", longs: []string{"line-length"}, attached: "i", operands: everywhere},
		"env":     {common: true, text: "S", long: []string{"split-string"}, value: "uC", longs: []string{"unset", "chdir"}},
		"script":  {common: true, text: "c", long: []string{"command"}, value: "BEImoOTt", operands: everywhere},
		"flock":   {common: true, text: "c", long: []string{"command"}, value: "wE", longs: []string{"wait", "timeout", "conflict-exit-code"}, operands: 1},
	}
	for _, name := range []string{"sh", "ash", "bash", "csh", "dash", "ksh", "mksh", "rbash", "tcsh", "yash", "zsh"} {
		all[name] = shell
	}
	return all
}

// carriers are programs that run another one with the arguments that are left, by their names.
func carriers() []string {
	return []string{
		"busybox", "chroot", "chrt", "docker", "doas", "env", "find", "flock", "ionice", "ip", "kubectl", "nice", "nohup", "nsenter", "pkexec",
		"podman", "prlimit", "runuser", "setpriv", "setsid", "ssh", "sshpass", "stdbuf", "strace", "su", "sudo", "systemd-run", "taskset", "time",
		"timeout", "toybox", "unshare", "xargs",
	}
}

// accounts are programs to which a shell is the shell of an account, and -c a comment.
func accounts() []string { return []string{"adduser", "chsh", "useradd", "usermod"} }

// programText is a word of a command that a program runs.
type programText struct {
	by    string // the program
	at    int    // the word; -1 is the standard input
	shell bool   // it is read by a shell
}

// programTexts finds what of a command is run by an interpreter: words that may each be a template, or what templates have come to.
func programTexts(words []string) (found []programText) {
	if len(words) == 0 || slices.Contains(accounts(), programName(words[0])) {
		return nil
	}
	known := interpreters()
	carried := slices.Contains(carriers(), programName(words[0]))
	for i, word := range words {
		by := programName(word)
		p := known[by]
		if p == nil || i > 0 && p.common && !carried {
			continue
		}
		texts, input := p.read(words[i+1:])
		for _, at := range texts {
			found = append(found, programText{by: by, at: i + 1 + at, shell: p.shell})
		}
		if input && (i == 0 || carried) {
			found = append(found, programText{by: by, at: -1, shell: p.shell})
		}
	}
	return found
}

// programName is the name of a program without its folder and version.
func programName(word string) string { return strings.TrimRight(path.Base(word), "0123456789.-") }

// reading is what has been read of an interpreter's arguments.
type reading struct {
	*interpreter
	args     []string
	at       int // the argument that comes next
	texts    []int
	operands []int
	command  bool // an option says that an operand is text
	given    bool // an option has given the text
	ended    bool // options have
	stdin    bool // an option says that standard input is run
}

// read returns which arguments are program text, and whether the standard input is.
func (p *interpreter) read(args []string) (texts []int, input bool) {
	r := &reading{interpreter: p, args: args}
	for r.at < len(args) {
		r.next()
	}
	operand := p.operand
	if r.command {
		operand = 1
	}
	if operand > 0 && operand <= len(r.operands) && !r.given {
		text := r.operands[operand-1:]
		if !p.joined {
			text = text[:1]
		}
		r.texts = append(r.texts, text...)
	}
	return r.texts, p.input && (r.stdin || len(r.texts) == 0 && len(r.operands) == 0 && !r.given)
}

func (r *reading) next() {
	word := r.args[r.at]
	r.at++
	switch {
	case r.ended || len(word) < 2 || word[0] != '-' && (!r.shell || word[0] != '+'):
		r.operands = append(r.operands, r.at-1)
		r.ended = r.ended || len(r.operands) > r.interpreter.operands
		r.stdin = r.stdin || word == "-" && len(r.operands) == 1
	case word == "--":
		r.ended = true
	case !r.longOption(word):
		r.letters(word[1:])
	}
}

// longOption reads an option that is a word, which some write with one dash. It is false where the word is none.
func (r *reading) longOption(word string) bool {
	name, _, assigned := strings.Cut(strings.TrimLeft(word, "-"), "=")
	name = strings.ToLower(name)
	switch {
	case slices.Contains(r.long, name):
		r.take(assigned)
		return true
	case r.dash && (name == "command" || name == "c"):
		r.command = true
		return true
	case slices.Contains(r.longs, name):
		if !assigned {
			r.at++
		}
		return true
	}
	return r.dash || strings.HasPrefix(word, "--")
}

// letters reads options of one letter each.
func (r *reading) letters(letters string) {
	for i, letter := range letters {
		attached := i+len(string(letter)) < len(letters)
		r.ended = r.ended || strings.ContainsRune(r.last, letter)
		switch {
		case r.shell && letter == 'c':
			r.command = true
		case r.shell && letter == 's':
			r.stdin = true
		case r.shell && (letter == 'o' || letter == 'O'):
			r.at++
		case strings.ContainsRune(r.text, letter):
			r.take(attached)
			return
		case strings.ContainsRune(r.file, letter), strings.ContainsRune(r.value, letter), strings.ContainsRune(r.last, letter):
			r.given = r.given || strings.ContainsRune(r.file+r.last, letter)
			if !attached {
				r.at++
			}
			return
		case strings.ContainsRune(r.attached, letter):
			return
		}
	}
}

// take notes a text: the rest of the word just read, or the next one.
func (r *reading) take(here bool) {
	r.given = true
	if here {
		r.texts = append(r.texts, r.at-1)
	} else if r.at < len(r.args) {
		r.texts = append(r.texts, r.at)
		r.at++
	}
}

const interpretedHint = `give the value in environment, such as NAME={{...}}, and let the program read it from there: "$NAME" in a shell`

// interpreted reports a template whose value a program would run: templates are the words of a command as they are written, and words what they
// have come to, or the same where they are not expanded yet. given says that the standard input has a value from elsewhere.
func interpreted(templates, words []string, given bool) error {
	if !given && !slices.ContainsFunc(templates, func(word string) bool { return strings.Contains(word, "{{") }) {
		return nil
	}
	for _, text := range programTexts(words) {
		switch {
		case text.at < 0 && given:
			return fmt.Errorf("%s would run what input gives: it reads its program from the standard input", text.by)
		case text.at >= 0 && strings.Contains(templates[text.at], "{{"):
			return fmt.Errorf("%s would run what the template in %q gives", text.by, brief(templates[text.at]))
		}
	}
	return nil
}
