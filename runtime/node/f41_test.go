package node_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/vault"
)

// tokenPattern is a signed document in its text form.
var tokenPattern = regexp.MustCompile(`[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{40,}`)

// tokensOf returns the signatures, by the purpose, of all signed documents that the records of a state folder hold, sealed or not.
func tokensOf(t testing.TB, stateDir string) map[string][]string {
	t.Helper()
	key, err := vault.Read(filepath.Join(stateDir, vault.KeyName))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	err = runtime.ReadHistory(t.Context(), stateDir, "enrollment", func(e runtime.HistoryEntry) error {
		opened, closed := machine.OpenRecord(e.Record, key)
		if len(closed) > 0 {
			t.Errorf("record %d: the host's own key does not open %v", e.Record.Seq, closed)
		}
		text, err := json.Marshal(opened)
		for _, token := range tokenPattern.FindAllString(string(text), -1) {
			claims, err := identity.Inspect(token)
			if err != nil {
				t.Fatalf("record %d: %v", e.Record.Seq, err)
			}
			found[string(claims.Purpose)] = append(found[string(claims.Purpose)], token[strings.LastIndex(token, ".")+1:])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestF41EnrollmentLeavesNoToken lets a node join a cell, renew its token and start again, and looks for all the tokens that it was given or
// made in every file that it has, and in all that it shows. Only its identity store has any.
func TestF41EnrollmentLeavesNoToken(t *testing.T) {
	c, dir := newCell(t, shortLived(t, "6s")), t.TempDir()
	m := newMember(t, "n1.example", dir, c.join, nil)
	m.becomes("active")
	eventually(t, "the node has renewed its token", func() bool { return m.expires().After(time.Now().Add(time.Minute)) })
	m.becomes("active")
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	m = newMember(t, "n1.example", dir, c.join, nil)
	m.becomes("active")
	shown, err := json.Marshal(mustDetail(t, m))
	if err != nil {
		t.Fatal(err)
	}
	err = m.agent.Host().History(t.Context(), "enrollment", func(e runtime.HistoryEntry) error {
		shown = append(append(shown, machine.Transcript(e.Record)...), e.JSON...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	found := tokensOf(t, filepath.Join(dir, "state"))
	for _, purpose := range []string{"hello", "challenge", "proof", "assignment", "node"} {
		if len(found[purpose]) == 0 {
			t.Errorf("the records hold no token of purpose %s: nothing is tested", purpose)
		}
	}
	found["join"] = append(found["join"], c.join[strings.LastIndex(c.join, ".")+1:])
	stored := 0
	for purpose, signatures := range found {
		for _, signature := range signatures {
			if tokenPattern.Match(shown) || bytes.Contains(shown, []byte(signature)) {
				t.Errorf("the node shows a token of purpose %s", purpose)
			}
			for _, path := range filesWith(t, dir, signature) {
				if !strings.HasPrefix(path, filepath.Join(dir, "identity")+string(filepath.Separator)) {
					t.Errorf("%s has a token of purpose %s", path, purpose)
				}
				stored++
			}
			for _, path := range filesWith(t, c.dir, signature) {
				if purpose != "join" { // which the cell was made with
					t.Errorf("the overlay keeps a token of purpose %s in %s", purpose, path)
				}
			}
		}
	}
	if stored < 2 {
		t.Errorf("the identity store has %d of the tokens, want its join token and that of its assignment: nothing was found that should be", stored)
	}
}

func mustDetail(t testing.TB, m *member) runtime.MachineDetail {
	t.Helper()
	detail, err := m.agent.Host().Machine(t.Context(), "enrollment")
	if err != nil {
		t.Fatal(err)
	}
	return detail
}

// filesWith returns the files below a folder that hold a text.
func filesWith(t testing.TB, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // a broker's file may go while one looks
		}
		content, _ := os.ReadFile(path)
		if bytes.Contains(content, []byte(text)) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
