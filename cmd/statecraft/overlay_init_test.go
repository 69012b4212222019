package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// TestH67HostsThatComeListenAsThoseThatAreThere, where no flag says otherwise: the ports are not given a second time.
func TestH67HostsThatComeListenAsThoseThatAreThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	initialise := func(args ...string) {
		t.Helper()
		var errs strings.Builder
		if code := run(append([]string{"overlay", "init", dir}, args...), strings.NewReader(""), io.Discard, &errs); code != exitOK {
			t.Fatalf("%d: %s", code, errs.String())
		}
	}
	initialise("--host", "o1=127.0.0.1", "--listen", "127.0.0.1", "--fleet-port", "5222", "--enrollment-port", "5223",
		"--cluster-port", "7222", "--monitor-port", "8222")
	initialise("--host", "o3=localhost", "--host", "o2=127.0.0.1", "--host", "o1=127.0.0.1")
	for host, want := range map[string]string{
		"o1": "{127.0.0.1:5222 127.0.0.1:5223 127.0.0.1:7222 127.0.0.1:8222} [localhost:7222 127.0.0.1:7232]",
		"o2": "{127.0.0.1:5232 127.0.0.1:5233 127.0.0.1:7232 127.0.0.1:8232} [localhost:7222 127.0.0.1:7222]",
		"o3": "{127.0.0.1:5222 127.0.0.1:5223 127.0.0.1:7222 127.0.0.1:8222} [127.0.0.1:7232 127.0.0.1:7222]",
	} {
		c, err := overlay.ReadConfig(filepath.Join(dir, "hosts", host, "overlay.yaml"))
		if got := fmt.Sprint(c.Listen, c.Peers); err != nil || got != want {
			t.Errorf("%s: %v\n%s, want\n%s", host, err, got, want)
		}
		brokers := []string{"tls://127.0.0.1:5222", "tls://127.0.0.1:5232", "tls://localhost:5222"}
		if slices.Sort(c.Brokers); !slices.Equal(c.Brokers, brokers) {
			t.Errorf("%s: brokers %q, want %q", host, c.Brokers, brokers)
		}
	}
	claims, err := identity.Inspect(strings.TrimSpace(read(t, filepath.Join(dir, "join.jwt"))))
	if err != nil {
		t.Fatal(err)
	}
	joins := []string{"tls://127.0.0.1:5223", "tls://127.0.0.1:5233", "tls://localhost:5223"}
	if slices.Sort(claims.Join.URLs); !slices.Equal(claims.Join.URLs, joins) {
		t.Errorf("the join token has %q, want %q", claims.Join.URLs, joins)
	}
}
