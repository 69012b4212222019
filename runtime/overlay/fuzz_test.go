package overlay

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// FuzzConfig holds that every overlay.yaml is read or refused, with findings that have a place where it is no proper document.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		"host: overlay1\ncell: test\n", "host: [a]\n", "host: a\nhost: b\n", "listen: {fleet: 1e400}\n", "cell: \"a\\0b\"\n", "\xff", "{", "", "a: &x [*x, *x]\n", "stream_bytes: -1\n",
		"stream_bytes: 99999999999999999999GiB\n", "peers: [\"\"]\n", "leafnodes: [{region: a, urls: [\"tls://r:1\"], out: [\">\"], in: [\"$JS.>\"], streams: [\"*\"]}]\n", "limits: {sessions: 1e9}\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		cfg, err := parseConfig("overlay.yaml", src)
		if err == nil {
			if cfg.Host == "" || cfg.Cell == "" {
				t.Errorf("it is read without a host or a cell: %+v", cfg)
			}
			return
		}
		var list diag.List
		if err.Error() == "" || errors.As(err, &list) && len(list) == 0 {
			t.Error("it is refused without a reason")
		}
	})
}

// FuzzClient holds that the context of a client is read or refused, and that no broker is connected to by one that is not whole.
func FuzzClient(f *testing.F) {
	for _, seed := range []string{`{"cell":"c","urls":["tls://127.0.0.1:1"],"ca":"","token":"x.y.z"}`, `{"urls":1e400}`, `{"urls":["\u0000"]}`, `{"token":"\ud800"}`, `[]`, ``, `{`, `{"cell":"a","cell":"b"}`} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Client
		if json.Unmarshal(data, &c) == nil {
			if _, err := c.Credentials(); err == nil {
				t.Errorf("it gives credentials without a key: %s", data)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, clientFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenClient(dir); err == nil {
			t.Error("it is opened without a key")
		}
	})
}
