package overlay_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// TestH67AHostDoesNotStartWithSettingsThatCannotBe opens and makes hosts with a line more in their overlay.yaml.
func TestH67AHostDoesNotStartWithSettingsThatCannotBe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	initialise(t, cellOptions(dir, "overlay1"))
	folder := filepath.Join(dir, "hosts", "overlay1")
	file := filepath.Join(folder, "overlay.yaml")
	plain, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	real, err := clock.NewReal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = real.Close() })
	start := func(lines string) error {
		if err := os.WriteFile(file, append(plain, lines...), 0o600); err != nil {
			t.Fatal(err)
		}
		_, cfg, err := overlay.Open(folder)
		if err != nil {
			return err
		}
		h, err := overlay.NewHost(overlay.HostConfig{Vouch: runtime.Unsigned, Folder: folder, Config: cfg, Clock: real, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		return h.Host().Close()
	}
	for lines, says := range map[string]string{
		"":                                     "",
		"joining: 500\n":                       "",
		"enrollment_connections: 100\n":        "", // the default of joining is more, and says nothing
		"founders: [overlay1]\n":               "",
		"joining: 10001\n":                     "joining: 10001 are more than",
		"founders: [overlay]\n":                "is a name misspelled?",
		"founders: ['over lay']\n":             "founders: ",
		"stream_bytes: 9000000000000000\n":     "above the maximum",
		"stream_bytes: 99999999999999999999\n": "out of range",
		"stream_bytes: 1125899906842624\n":     "more than the file system of",
	} {
		err := start(lines)
		switch {
		case says == "" && err != nil:
			t.Errorf("%q: %v", lines, err)
		case says != "" && (err == nil || !strings.Contains(err.Error(), says)):
			t.Errorf("%q: %v, want %q", lines, err, says)
		}
	}
}
