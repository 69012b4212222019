package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// endsWithin is how long a process may take to end when it is told to.
const endsWithin = time.Minute

// process is the program with arguments, which runs until the harness ends it.
type process struct {
	cmd  *exec.Cmd
	name string
	log  string // the file that has what it said on standard error; a process that is started again appends to it

	mu     sync.Mutex
	asked  bool          // the harness has ended it, or is about to
	ended  chan struct{} // closed when it has ended, and then
	result error         // is how
}

// launch starts a process. When it ends although nobody asked it to, died is called.
func launch(binary, name, log string, stdout io.Writer, died func(*process), args ...string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer file.Close()
	p := &process{cmd: exec.Command(binary, args...), name: name, log: log, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = stdout, file
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Env = append(os.Environ(), "NO_COLOR=1", "GOTRACEBACK=all")
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		p.result = p.cmd.Wait()
		close(p.ended)
		p.mu.Lock()
		asked := p.asked
		p.mu.Unlock()
		if !asked {
			died(p)
		}
	}()
	return p, nil
}

// end sends the signal that is to end the process, and waits until it has.
func (p *process) end(s syscall.Signal) error {
	p.mu.Lock()
	p.asked = true
	p.mu.Unlock()
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("ending %s: %w", p.name, err)
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(endsWithin):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s did not end within %s of %v", p.name, endsWithin, s)
	}
}

// panics are the lines of a log that tell of a panic, with the log's name: a process that dies of one prints it at the beginning of a
// line, and one that was taken for the outcome of a look is logged.
func panics(log string) (found []string) {
	file, err := os.Open(log)
	if err != nil {
		return []string{err.Error()}
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.Contains(line, "_panicked") {
			found = append(found, log+": "+line)
		}
	}
	return found
}
