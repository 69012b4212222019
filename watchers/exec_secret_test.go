//go:build linux

package watchers

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
)

// TestF41ExecLeavesSecretsOutOfFiles holds that a command is given secrets where it asks for them, and that no file has them.
func TestF41ExecLeavesSecretsOutOfFiles(t *testing.T) {
	b := newExecBench(t, `{command: 'sh -c "cat \"$WATCHER_DATA\"; cat; echo $TOKEN"', input: data.token, environment: ['TOKEN={{ lookup "data.token" "" }}']}`)
	b.look.Data, b.look.Secrets = map[string]any{"name": "web", "token": "hunter2-hunter2"}, []string{"token"}
	b.want(machine.OutcomeSuccess, `{"name":"web"}hunter2-hunter2hunter2-hunter2`+"\n")
	if len(b.look.Data) != 2 {
		t.Errorf("the machine's own data is %v", b.look.Data)
	}
	err := filepath.WalkDir(filepath.Dir(b.look.Scratch), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), "hunter2") {
			t.Errorf("%s holds the secret", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
