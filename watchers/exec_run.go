package watchers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/statecraft-io/statecraft/watchers/sandbox"
)

const shell = "/bin/sh"

// execRun is one run that is about to happen.
type execRun struct {
	command sandbox.Command
	folder  string // of this run alone, "" for none
}

// prepare expands the properties and writes the files that the command reads.
func (e *execWatcher) prepare(look *Look) (*execRun, error) {
	words, err := e.words(look)
	if err != nil {
		return nil, err
	}
	confine, err := e.confinement()
	if err != nil {
		return nil, err
	}
	run := &execRun{}
	paths, err := e.files.write(look, confine, run)
	if err != nil {
		return nil, fmt.Errorf("writing the files that the command reads: %w", err)
	}
	if err := e.complete(run, look, words, confine, paths); err != nil {
		run.end(context.Background())
		return nil, err
	}
	return run, nil
}

func (e *execWatcher) complete(run *execRun, look *Look, words []string, confine *sandbox.Confinement, paths execPaths) error {
	input, err := e.input(look)
	if err != nil {
		return err
	}
	if err := inputOption(words, input); err != nil {
		return err
	}
	env, err := e.environment(look, confine, paths)
	if err != nil {
		return err
	}
	path, err := findProgram(words[0], look.Directory, env.value("PATH"))
	if err != nil {
		return err
	}
	run.command = sandbox.Command{
		Path: path, Args: words, Env: env.list,
		Dir:     cmp.Or(look.Directory, look.Scratch, "/"),
		Limit:   e.spec.outputLimit,
		Input:   input,
		Confine: confine,
		Outlive: e.spec.Disown,
		Discard: e.spec.Disown && !e.spec.ParseAsData && !e.spec.ParseOutput,
	}
	return nil
}

// end removes what was made for the run alone. A command that was left running keeps its files.
func (r *execRun) end(ctx context.Context) {
	left := r.command.Outlive && errors.Is(ctx.Err(), context.Canceled)
	if r.folder != "" && !left {
		// What cannot be removed is in the system's folder for temporary files, which is cleared by others.
		_ = os.RemoveAll(r.folder)
	}
}

func (e *execWatcher) words(look *Look) ([]string, error) {
	if e.spec.Shell {
		return []string{shell, "-c", e.spec.Command.text}, nil
	}
	words, err := look.ExpandWords(e.spec.Command, e.spec.Input != nil)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 || words[0] == "" {
		return nil, fmt.Errorf("the command %q is empty once expanded; write the program as its first word", e.spec.Command)
	}
	for _, word := range words {
		if strings.ContainsRune(word, 0) {
			return nil, fmt.Errorf("the argument %q holds a NUL, which no program can be given", clean(word))
		}
	}
	return words, nil
}

func (e *execWatcher) confinement() (*sandbox.Confinement, error) {
	declared := e.spec.Sandbox
	if declared == nil {
		return nil, nil
	}
	who, err := sandbox.LookUp(declared.User, declared.Group)
	if errors.Is(err, sandbox.ErrNotRoot) {
		return nil, fmt.Errorf("%w; run the host as root or remove user and group from the sandbox", err)
	}
	if err != nil {
		return nil, err
	}
	return &sandbox.Confinement{As: who, Limits: e.spec.limits, NoNewPrivileges: declared.NoNewPrivileges}, nil
}

// findProgram returns the absolute path of a program: below the machine's directory where it holds a slash, else
// from PATH, and from the machine's directory where PATH has none.
func findProgram(name, directory, path string) (string, error) {
	if strings.Contains(name, "/") {
		if filepath.IsAbs(name) {
			return name, nil
		}
		return filepath.Join(cmp.Or(directory, "/"), name), nil
	}
	barred := ""
	for _, folder := range append(filepath.SplitList(path), directory) {
		// A relative folder in PATH would mean another place in every directory.
		if !filepath.IsAbs(folder) {
			continue
		}
		candidate := filepath.Join(folder, name)
		info, err := os.Stat(candidate)
		switch {
		case err != nil || !info.Mode().IsRegular():
		case info.Mode()&0o111 != 0:
			return candidate, nil
		case barred == "":
			barred = candidate
		}
	}
	if barred != "" {
		return "", fmt.Errorf("%s may not be executed, as its mode is none of a program; chmod +x %s", barred, barred)
	}
	return "", fmt.Errorf("there is no program %q in PATH or the machine's directory; install it or write its path", name)
}
