package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// The folders below a store's that hold what an assignment has for other programs, parents first. Those of policies are as Choria's.
const (
	givenDir  = "given"
	policyDir = "given/policies"
	regoDir   = "given/policies/rego"
)

const maxPolicyName = 100

// Provide writes what the active assignment has for other programs of the node, and removes what it does not have: given/certificate.pem
// and given/ca.pem, given/policies/NAME.policy and given/policies/rego/NAME.rego, each of mode 0600 and whole at every moment. They are
// copies: nothing here reads them. Repeated, it makes good for what was changed. A store in memory writes nothing. Errors are those of
// Active and of writing.
func (s *Store) Provide() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, content, _, err := s.inUse()
	if err != nil {
		return fmt.Errorf("reading the node's assignment: %w", err)
	}
	a, err := readAssignment(at.Active, content)
	if err != nil {
		return fmt.Errorf("reading the node's assignment: %w", err)
	}
	files, err := a.files()
	if err == nil {
		err = s.files.provide(files)
	}
	if err != nil {
		return fmt.Errorf("writing what the assignment has for other programs: %w", err)
	}
	return nil
}

// files is what an assignment has for other programs, by path below the store's folder. Names that are no files' are refused.
func (a *Assignment) files() (map[string]string, error) {
	files := map[string]string{}
	for name, text := range map[string]string{"certificate.pem": a.Certificate, "ca.pem": a.CertificateCA} {
		if text != "" {
			files[path.Join(givenDir, name)] = text
		}
	}
	if len(a.Policies) == 0 {
		return files, nil
	}
	var policies struct {
		Action map[string]string `json:"action"`
		OPA    map[string]string `json:"opa"`
	}
	if err := json.Unmarshal(a.Policies, &policies); err != nil {
		return nil, fmt.Errorf("the policies of the assignment: %w", err)
	}
	for _, kind := range []struct {
		dir, suffix string
		texts       map[string]string
	}{{policyDir, ".policy", policies.Action}, {regoDir, ".rego", policies.OPA}} {
		for name, text := range kind.texts {
			if !policyName(name) {
				return nil, fmt.Errorf("the policies of the assignment: %q is not the name of a file", shorten(name))
			}
			files[path.Join(kind.dir, name+kind.suffix)] = text
		}
	}
	return files, nil
}

// policyName reports whether a policy's name can be a file's, in any folder.
func policyName(name string) bool {
	return name != "" && len(name) <= maxPolicyName && plain(name, "_-.") && name[0] != '.' && name[0] != '-'
}

// provide implements folder.
func (d disk) provide(files map[string]string) error {
	for _, dir := range []string{givenDir, policyDir, regoDir} {
		want := map[string]string{}
		for at, text := range files {
			if path.Dir(at) == dir {
				want[path.Base(at)] = text
			}
		}
		inner := disk{dir: filepath.Join(d.dir, filepath.FromSlash(dir)), step: d.step, io: d.io}
		if err := inner.become(want); err != nil {
			return err
		}
	}
	return nil
}

// become brings the files of a folder to what they are to be. Its folders are left alone, and none is made for nothing.
func (d disk) become(want map[string]string) error {
	entries, err := os.ReadDir(d.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(want) == 0:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := d.prepare(); err != nil {
		return err
	}
	for _, e := range entries {
		if _, wanted := want[e.Name()]; wanted || e.IsDir() {
			continue
		}
		if err := d.remove(e.Name()); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if d.is(name, want[name]) {
			continue
		}
		if err := d.write(name, []byte(want[name])); err != nil {
			return err
		}
	}
	return nil
}

// is reports whether a file is as write would make it.
func (d disk) is(name, text string) bool {
	info, err := os.Lstat(filepath.Join(d.dir, name))
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != 0o600 || info.Size() != int64(len(text)) {
		return false
	}
	content, err := d.read(name)
	return err == nil && string(content) == text
}
