package delivery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/watchers"
)

// TestATargetOfSomebodyElseIsRefused deploys to a folder in which others could put other machines in the place of what was verified: nothing is written, nor fetched.
func TestATargetOfSomebodyElseIsRefused(t *testing.T) {
	a := newArchiveTest(t)
	open := filepath.Join(a.outside, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil { //nolint:gosec // it is what is tried
		t.Fatal(err)
	}
	spec := a.spec(bundleOf(t, "1.0.0"), "https://127.0.0.1:1/web.tar.gz")
	spec.Target = watchers.PlainText(filepath.Join(open, "machines"))
	a.fails(a.watcher(spec), "can be written to by others")
	if os.Geteuid() == 0 {
		theirs := filepath.Join(a.outside, "theirs")
		if err := os.Mkdir(theirs, 0o755); err != nil { //nolint:gosec // as it would be
			t.Fatal(err)
		}
		const nobody = 65534
		if err := os.Chown(theirs, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		spec.Target = watchers.PlainText(filepath.Join(theirs, "machines"))
		a.fails(a.watcher(spec), "belongs to nobody")
		l := newListing(t, "data_item: specs\nplugins_directory: "+theirs)
		if r := l.watch.Check(t.Context(), l.look); r.Outcome != "fail" || !strings.Contains(r.Message, "belongs to nobody") {
			t.Errorf("a list that is deployed there: %+v", r)
		}
	} else {
		t.Log("NOT TRIED: a folder of another user, as this is not root")
	}
	if _, err := os.Stat(filepath.Join(open, "machines")); !os.IsNotExist(err) {
		t.Errorf("it is there: %v", err)
	}
}
