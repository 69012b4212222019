package factgather

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/watchers/sandbox"
)

// command is one program that prints facts.
type command struct {
	argv      []string
	directory string // the machine's, where it runs; "" is the root
	limit     int    // bytes of output
	timeout   time.Duration
}

// run returns what the program prints. Late, it is ended with everything that it started.
func (c command) run(ctx context.Context) ([]byte, error) {
	path, err := c.program()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("not done within its timeout of %s", c.timeout))
	defer cancel()
	program := sandbox.Command{
		Path: path, Args: c.argv, Env: environment(c.directory), Dir: cmp.Or(c.directory, "/"), Limit: c.limit,
	}
	result, err := program.Run(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("running %s: %w", c.argv[0], context.Cause(ctx))
	case err != nil:
		return nil, err
	case result.ExitCode != 0:
		return nil, &exitError{program: c.argv[0], code: result.ExitCode, stderr: result.Stderr}
	case result.Truncated:
		return nil, fmt.Errorf("running %s: it prints more than output_limit (%d bytes)", c.argv[0], c.limit)
	}
	return result.Stdout, nil
}

// program returns the absolute path of the first word: below the machine's directory where it holds a slash,
// else from PATH.
func (c command) program() (string, error) {
	name := c.argv[0]
	switch {
	case filepath.IsAbs(name):
		return name, nil
	case strings.Contains(name, "/"):
		return filepath.Join(cmp.Or(c.directory, "/"), name), nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w; install it or write its path", name, err)
	}
	return filepath.Abs(path)
}

// exitError is a program that failed. Its stderr is for the log only: nobody knows what it holds.
type exitError struct {
	program string
	code    int
	stderr  []byte
}

// Error leaves stderr out.
func (e *exitError) Error() string {
	return fmt.Sprintf("running %s: exit status %d", e.program, e.code)
}

// environment is what a program needs to run, and nothing else of what the agent was started with.
func environment(directory string) []string {
	path := cmp.Or(os.Getenv("PATH"), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	if directory != "" {
		path += string(filepath.ListSeparator) + directory
	}
	env := []string{"PATH=" + path}
	for _, name := range []string{"HOME", "LANG", "TZ", "USER"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
