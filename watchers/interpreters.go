package watchers

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// programText is a word of a command that a program runs.
type programText struct {
	by    string // the program
	at    int    // the word; -1 is the standard input
	shell bool   // it is read by a shell
}

// programTexts finds what of a command is run by an interpreter: words that may each be a template, or what templates have come to.
func programTexts(words []string) (found []programText) { return interpreters().texts(words) }

func (t interpreterTable) texts(words []string) (found []programText) {
	if len(words) == 0 || slices.Contains(accounts(), programName(words[0])) {
		return nil
	}
	carried := slices.Contains(carriers(), programName(words[0]))
	var replaced replacement
	reads := map[int]bool{} // whether a shell's text, by its word, runs its standard input
	for i, word := range words {
		by := programName(word)
		if name := codeVariable(word); i > 0 && name != "" {
			found = append(found, programText{by: "what reads " + name, at: i})
		}
		if by == "xargs" && (i == 0 || carried) {
			replaced = t.replacement(words[i+1:])
		}
		p := t[by]
		if p == nil || i > 0 && p.common && !carried {
			continue
		}
		first := i + 1
		if i > 0 && first < len(words) && words[first] == "--" {
			first++ // what starts it has an option for the program alone, as start-stop-daemon has
		}
		texts, input := p.read(words[first:])
		for _, at := range texts {
			text := programText{by: by, at: first + at, shell: p.shell}
			found = append(found, text)
			if input = input || replaced.in(words[text.at]); p.shell && !input {
				if _, known := reads[text.at]; !known {
					reads[text.at] = t.runInput(words[text.at])
				}
				input = reads[text.at]
			}
		}
		if input = input || replaced.appends(p, words[first:]); input && (i == 0 || carried) {
			found = append(found, programText{by: by, at: -1, shell: p.shell})
		}
	}
	return found
}

// programName is the name of a program without its folder, its version and the kind of its build.
func programName(word string) string {
	name := strings.TrimSuffix(path.Base(word), ".exe")
	for _, kind := range []string{"-static", "-dbg", "-debug"} {
		name = strings.TrimSuffix(name, kind)
	}
	if short := strings.TrimRight(name, "0123456789.-"); len(short) > 1 {
		return short
	}
	return name // such as m4
}

// codeVariable is the variable of codeVariables that a word sets, as NAME=VALUE or --env=NAME=VALUE; "" where there is none.
func codeVariable(word string) string {
	name, rest, assigned := strings.Cut(word, "=")
	if strings.HasPrefix(name, "-") {
		if strings.HasPrefix(name, "--") {
			name, _, assigned = strings.Cut(rest, "=")
		} else {
			name = strings.TrimPrefix(name, "-e")
		}
	}
	if assigned && (slices.Contains(codeVariables(), name) || strings.HasPrefix(name, "BASH_FUNC_")) {
		return name
	}
	return ""
}

// replacement is what xargs does with its input.
type replacement struct {
	xargs bool
	mark  string // what it replaces in its arguments; "" where it appends to them
}

func (t interpreterTable) replacement(args []string) replacement {
	r := replacement{xargs: true}
	for i, arg := range args {
		mark, long := strings.CutPrefix(arg, "--replace")
		switch {
		case long:
			r.mark = cmp.Or(strings.TrimPrefix(mark, "="), "{}")
		case strings.HasPrefix(arg, "-i"):
			r.mark = cmp.Or(arg[2:], "{}")
		case (arg == "-I" || arg == "-J") && i+1 < len(args):
			r.mark = args[i+1]
		case strings.HasPrefix(arg, "-I"), strings.HasPrefix(arg, "-J"):
			r.mark = arg[2:]
		case t[programName(arg)] != nil:
			return r
		}
	}
	return r
}

// in reports whether input comes to stand in a text.
func (r replacement) in(text string) bool { return r.mark != "" && strings.Contains(text, r.mark) }

// appends reports whether a program would run what xargs puts behind its arguments.
func (r replacement) appends(p *interpreter, args []string) bool {
	if !r.xargs || r.mark != "" {
		return false
	}
	texts, _ := p.read(append(slices.Clone(args), "value"))
	return slices.Contains(texts, len(args))
}

// runInput reports whether a program of a shell's text is known to run its standard input. It knows no quotes: it is asked of texts whose standard
// input is a value, where a doubt is a reason to refuse.
func (t interpreterTable) runInput(text string) bool {
	for _, command := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("|&;\n(){}`", r) }) {
		words := strings.Fields(command)
		if len(words) > maxWords {
			return true
		}
		for i, word := range words {
			if words[i] = strings.Trim(word, `"'`); words[i] == "." {
				words[i] = "source"
			}
		}
		for len(words) > 1 && (slices.Contains([]string{"if", "then", "else", "elif", "while", "until", "do", "!", "exec", "command", "builtin"}, words[0]) ||
			strings.Contains(words[0], "=")) {
			words = words[1:]
		}
		if slices.ContainsFunc(t.texts(words), func(found programText) bool { return found.at < 0 }) {
			return true
		}
	}
	return false
}

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
	opened   bool // an option has operands opened as programs may be
}

// read returns which arguments are program text, and whether the standard input is.
func (p *interpreter) read(args []string) (texts []int, input bool) {
	r := &reading{interpreter: p, args: args}
	if p.all {
		for at := range args {
			r.texts = append(r.texts, at)
		}
		return r.texts, p.input
	}
	for r.at < len(args) {
		r.next()
	}
	operand := p.operand
	if r.command {
		operand = 1
	}
	if operand > 0 && operand <= len(r.operands) && (!r.given || p.joined) && (p.verb == "" || args[r.operands[0]] == p.verb) {
		text := r.operands[operand-1:]
		if !p.joined {
			text = text[:1]
		}
		r.texts = append(r.texts, text...)
	}
	for i, at := range r.operands {
		if p.assignments && strings.Contains(args[at], "=") || p.plus && strings.HasPrefix(args[at], "+") || r.opened && (r.given || i > 0) {
			r.texts = append(r.texts, at)
		}
	}
	return r.texts, r.input()
}

func (r *reading) input() bool {
	none := len(r.texts) == 0 && !r.given
	named := len(r.operands) > 0 && isInput(r.args[r.operands[0]])
	operands := len(r.operands)
	if r.bare > 0 && slices.ContainsFunc(r.operands, func(at int) bool { return r.args[at] == "-" }) {
		operands-- // as in su -
	}
	return r.stdin && (r.starts == "" || operands == 0) || r.interpreter.input && none && (operands == 0 || named) || none && operands < r.bare
}

// isInput reports whether a file is the standard input.
func isInput(file string) bool {
	return slices.Contains([]string{"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"}, path.Clean(file))
}

func (r *reading) next() {
	word := r.args[r.at]
	r.at++
	switch {
	case r.ended || len(word) < 2 || word[0] != '-' && (!r.interpreter.shell || word[0] != '+'):
		r.operands = append(r.operands, r.at-1)
		r.ended = r.ended || len(r.operands) > r.interpreter.operands
	case word == "--" && r.behind:
		r.shell(r.at)
		r.shell(r.at + 1) // where the first is the user still
		r.at = len(r.args)
	case word == "--":
		r.ended = true
	case !r.longOption(word):
		r.letters(word[1:])
	}
}

// shell reads the arguments from one on as those of a shell.
func (r *reading) shell(from int) {
	if from >= len(r.args) {
		return
	}
	texts, _ := (&interpreter{shell: true}).read(r.args[from:])
	for _, at := range texts {
		r.texts = append(r.texts, from+at)
	}
}

// module reads the arguments that are left as those of a module that runs some.
func (r *reading) module(p *interpreter) {
	from := min(r.at, len(r.args))
	texts, _ := p.read(r.args[from:])
	for _, at := range texts {
		r.texts = append(r.texts, from+at)
	}
	r.at = len(r.args)
}

// longOption reads an option that is a word, which some write with one dash. It is false where the word is none.
func (r *reading) longOption(word string) bool {
	name, value, assigned := strings.Cut(strings.TrimLeft(word, "-"), "=")
	name = strings.ToLower(name)
	words := r.dash || strings.HasPrefix(word, "--")
	named := func(options []string) bool { return slices.Contains(options, name) }
	if words && !named(r.long) && !named(r.files) && !named(r.longs) {
		// Programs take the beginning of an option's name for the option.
		named = func(options []string) bool {
			return slices.ContainsFunc(options, func(o string) bool { return name != "" && strings.HasPrefix(o, name) })
		}
	}
	switch {
	case r.dash && named([]string{"command", "commandwithargs", "cwa"}) && !slices.Contains(r.longs, name):
		r.command = true
	case named(r.long):
		r.take(assigned)
	case named(r.files):
		r.from(value, assigned)
	case named(r.longs):
		if !assigned {
			r.at++
		}
	case words && r.starts != "" && (named([]string{"shell"}) || named([]string{"login"})):
		r.stdin = true
	default:
		return words
	}
	return true
}

// perlSet is what the letters behind perl's -C may be.
const perlSet = "IOEioAaDSL0123456789"

// letters reads options of one letter each.
func (r *reading) letters(letters string) {
	set := false
	for i, letter := range letters {
		if set && strings.ContainsRune(perlSet, letter) {
			continue
		}
		set = strings.ContainsRune(r.sets, letter)
		attached := i+len(string(letter)) < len(letters)
		r.opened = r.opened || strings.ContainsRune(r.opens, letter)
		r.ended = r.ended || strings.ContainsRune(r.last, letter)
		switch {
		case r.interpreter.shell && letter == 'c':
			r.command = true
		case r.interpreter.shell && letter == 's', strings.ContainsRune(r.starts, letter):
			r.stdin = true
		case r.interpreter.shell && (letter == 'o' || letter == 'O'):
			r.at++
		case strings.ContainsRune(r.text, letter):
			r.take(attached)
			return
		case strings.ContainsRune(r.file, letter):
			r.from(letters[i+len(string(letter)):], attached)
			return
		case strings.ContainsRune(r.value, letter), strings.ContainsRune(r.last, letter):
			r.given = r.given || strings.ContainsRune(r.last, letter)
			module := letters[i+len(string(letter)):]
			if !attached && r.at < len(r.args) {
				module = r.args[r.at]
			}
			if !attached {
				r.at++
			}
			if p := r.modules[module]; p != nil && letter == 'm' {
				r.module(p)
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

// from notes a file that the text is read from: the rest of the word just read, or the next one.
func (r *reading) from(file string, here bool) {
	r.given = true
	if !here && r.at < len(r.args) {
		file = r.args[r.at]
		r.at++
	}
	r.stdin = r.stdin || isInput(file)
}

func interpretedHint(marked bool) string {
	return "give the value in environment, such as NAME=" + valueForm(marked) + `, and let the program read it from there: "$NAME" in a shell; perl opens ` +
		`what it is given as files only, and runs none, by while (<<>>) {...} in place of -n and -p`
}

// maxWords bounds the words of a command that has values: what follows each interpreter among them is read as its arguments.
const maxWords = 1000

// interpreted reports a value that a program would run: written are the words of a command as they are written, and words what they
// have come to, or the same where they are not filled in yet. given says that the standard input has a value from elsewhere.
func interpreted(written []word, words []string, given bool) error {
	if !given && !slices.ContainsFunc(written, word.filled) {
		return nil
	}
	if len(words) > maxWords {
		return fmt.Errorf("the command has %d words, and at most %d are looked through for what programs would run; put the fixed ones into a script", len(words), maxWords)
	}
	for _, text := range programTexts(words) {
		switch {
		case text.at < 0 && given:
			return fmt.Errorf("%s would run what input gives: it reads its program from the standard input", text.by)
		case text.at >= 0 && written[text.at].filled():
			return fmt.Errorf("%s would run what the value in %q is", text.by, brief(written[text.at].text))
		}
	}
	return nil
}

var number = regexp.MustCompile(`^-[0-9]+(\.[0-9]+)?$`)

// option reports a value that most programs would take for an option: a word that begins with a dash by what a value is, or an option
// whose name it has come to. A number is none, and neither is what stands right behind a --, maybe with other values in between: a -- further away may be
// that of another program.
func option(written []word, words []string) error {
	ended := false
	for i, w := range written {
		if !w.filled() {
			ended = words[i] == "--"
			continue
		}
		literal := w.fill.Before()
		named := strings.Trim(literal, "-") == "" || strings.HasPrefix(literal, "--") && !strings.Contains(literal, "=")
		if i > 0 && !ended && named && strings.HasPrefix(words[i], "-") && !number.MatchString(words[i]) {
			return fmt.Errorf("what the value in %q is begins with a dash and would be an option", brief(w.text))
		}
	}
	return nil
}

// inputOption reports an option that xargs would make of its input. What separates arguments is an option of xargs, so that any punctuation may.
func inputOption(words []string, input []byte) error {
	at := slices.IndexFunc(words, func(word string) bool { return programName(word) == "xargs" })
	if at < 0 || at > 0 && !slices.Contains(carriers(), programName(words[0])) {
		return nil
	}
	safe := words[len(words)-1] == "--"
	if mark := interpreters().replacement(words[at+1:]).mark; mark != "" {
		safe = true
		for i, word := range words[at+1:] {
			safe = safe && (!strings.HasPrefix(word, mark) || words[at+i] == "--" || words[at+i] == "-I" || words[at+i] == "-J")
		}
	}
	arguments := strings.FieldsFunc(string(input), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_./", r)
	})
	if !safe && slices.ContainsFunc(arguments, func(a string) bool { return strings.HasPrefix(a, "-") && !number.MatchString(a) }) {
		return errInputOption
	}
	return nil
}

var errInputOption = errors.New("what begins with a dash in input would be an option, as xargs makes arguments of it; end the command of xargs with --, " +
	"or write -- in front of what it replaces")

func optionHint(marked bool) string {
	return "put -- right in front of it, where the program knows that, or write --name=" + valueForm(marked) +
		"; options that are meant to be a value go into environment, with shell: true and $OPTIONS in the command"
}
