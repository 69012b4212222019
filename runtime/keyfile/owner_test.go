package keyfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestH78AKeyFileThatOthersCanHaveWrittenIsNotUsed has each key file name a helper: what others have put there would run as who signs.
func TestH78AKeyFileThatOthersCanHaveWrittenIsNotUsed(t *testing.T) {
	const somebody = 61234
	chown := func(path string) func() error {
		return func() error { return os.Lchown(path, somebody, somebody) }
	}
	open := func(path string) func() error { return func() error { return os.Chmod(path, 0o777) } }
	top := t.TempDir()
	keys, programs, link := filepath.Join(top, "keys"), filepath.Join(top, "programs"), filepath.Join(top, "link.key")
	file, program, ran := filepath.Join(keys, "p.key"), filepath.Join(programs, "helper"), filepath.Join(top, "ran")
	for name, tt := range map[string]struct {
		spoil func() error
		path  string
		root  bool // is needed for it
	}{
		"somebody else's file":             {chown(file), file, true},
		"somebody else's folder":           {chown(keys), file, true},
		"somebody else's link":             {chown(link), link, true},
		"somebody else's helper":           {chown(program), file, true},
		"a folder that all can write to":   {open(keys), file, false},
		"a folder behind a link":           {open(keys), link, false},
		"a helper that all can write to":   {open(program), file, false},
		"a helper's folder that all can":   {open(programs), file, false},
		"nothing: it is used, by the link": {func() error { return nil }, link, false},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("NOT RUN: only root can give a file to somebody else; run the tests as root")
			}
			k, err := identity.NewKey()
			if err != nil {
				t.Fatal(err)
			}
			content, err := Helper{Command: []string{program}, PublicKey: k.Public().String()}.Encode()
			err = errors.Join(err, os.RemoveAll(keys), os.RemoveAll(programs), os.RemoveAll(link), os.RemoveAll(ran), os.Mkdir(keys, 0o700), os.Mkdir(programs, 0o755),
				os.WriteFile(file, content, 0o600), os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\ntouch %s\nexit 1\n", ran), 0o755), os.Symlink(file, link), tt.spoil())
			if err != nil {
				t.Fatal(err)
			}
			key, err := Opener{}.Open(tt.path)
			if err == nil {
				_, err = key.SignMessage([]byte("message"))
			}
			_, there := os.Stat(ran)
			if used := there == nil; used != (name == "nothing: it is used, by the link") || !used && !errors.Is(err, identity.ErrUnsafe) {
				t.Errorf("used %t: %v", used, err)
			}
		})
	}
}
