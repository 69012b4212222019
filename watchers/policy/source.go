package policy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/statecraft-io/statecraft/watchers"
)

// maxRego is how much Rego is read from a file, in bytes. A manifest as a whole holds no more.
const maxRego = 1 << 20

// source gives all watchers of a definition the same compiled policy. It is safe for concurrent use.
type source struct {
	spec *spec

	mu   sync.Mutex
	sum  [sha256.Size]byte // of the file that kept was compiled from
	kept *program
	err  error // why the file of that sum cannot be compiled
}

// program returns the policy of the properties, or that of the file as it is now.
func (s *source) program(look *watchers.Look) (*program, error) {
	if s.spec.File == "" {
		return s.kept, nil
	}
	text, err := readFile(look.Directory, s.spec.File)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sum := sha256.Sum256(text); sum != s.sum {
		s.sum, s.err = sum, nil
		var problems []problem
		if s.kept, problems = compile(string(text), s.spec.Query, s.spec.Data != nil); len(problems) > 0 {
			s.err = fmt.Errorf("%s: %s", s.spec.File, problems[0])
		}
	}
	return s.kept, s.err
}

// readFile reads a file of the machine's directory. Links that point out of it are refused.
func readFile(directory, name string) ([]byte, error) {
	if directory == "" {
		return nil, errors.New("the machine has no directory; write the Rego below policy")
	}
	root, err := os.OpenRoot(directory)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// A pipe without a writer would otherwise keep the look from ending.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is not a regular file", name), err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxRego+1))
	if err == nil && len(text) > maxRego {
		err = fmt.Errorf("%s holds more than 1 MiB of Rego; split it into several watchers", name)
	}
	return text, err
}
