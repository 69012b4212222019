package overlay

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/cell"
)

// TestH71LoginsInEverySpelling: a name is told once, in the only spelling that a node's can have.
func TestH71LoginsInEverySpelling(t *testing.T) {
	l := &logins{}
	for _, name := range []string{"operator", "Operator", "ops=example", "OPS=Example", "alice@example=net", "", "=", "-x", "operator"} {
		l.add(identity.PurposeClient, name)
	}
	l.add(identity.PurposeService, "ov1=example")
	var got []cell.Login
	for login, ok := l.take(); ok; login, ok = l.take() {
		got = append(got, login)
	}
	want := []cell.Login{{Token: "operator", Kind: "client"}, {Token: "ops=example", Kind: "client"}, {Token: "ov1=example", Kind: "service"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
