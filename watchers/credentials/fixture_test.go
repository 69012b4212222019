package credentials

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB) *identity.Key {
	t.Helper()
	k, err := identity.NewKey()
	must(t, err)
	return k
}

func sign(t testing.TB, s *identity.Signer, c identity.Claims) string {
	t.Helper()
	token, err := s.Sign(c)
	must(t, err)
	return token
}

// fleet is an overlay with its root and the enrollment issuer of the cell c1, and a node that has a key.
type fleet struct {
	testing.TB
	root, enrollment *identity.Signer
	overlay, node    *identity.Wallet
	key              *identity.Key
	refreshed        []string
	log              strings.Builder
	now              time.Time
	dir              string // of the node's store
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{TB: t, root: &identity.Signer{Key: newKey(t)}, now: noon.Add(time.Hour)}
	var err error
	f.enrollment, err = f.root.Delegate(newKey(t), identity.Claims{
		Subject: "enrollment", IssuedAt: noon.Add(-time.Hour), Expires: noon.Add(90 * 24 * time.Hour),
		Limits: &identity.IssuerLimits{
			Purposes: []identity.Purpose{identity.PurposeNode, identity.PurposeAssignment, identity.PurposeJoin}, Cells: []string{"c1"},
			MaxLifetime: 24 * time.Hour,
		},
	})
	must(t, err)
	roots := []identity.PublicKey{f.root.Key.Public()}
	f.overlay = &identity.Wallet{Signers: map[string]*identity.Signer{"enrollment": f.enrollment}, Roots: roots}
	f.dir = t.TempDir()
	store, err := identity.OpenStore(f.dir)
	must(t, err)
	f.node = &identity.Wallet{Store: store, Roots: roots}
	f.key, _, err = store.EnsureKey()
	must(t, err)
	return f
}

func (f *fleet) wallets(id string) (*identity.Wallet, error) {
	switch id {
	case "web1.example":
		return f.node, nil
	case "overlay1":
		return f.overlay, nil
	}
	return nil, errors.New("nobody here is " + id)
}

func (f *fleet) types() map[string]watchers.Type {
	types := map[string]watchers.Type{}
	for _, t := range Types(f.wallets, func(id string) { f.refreshed = append(f.refreshed, id) }) {
		types[t.Name] = t
	}
	return types
}

func prepare(t watchers.Type, properties string) (*watchers.Prepared, diag.List) {
	n, list := strict.Parse("m.yaml", []byte(properties))
	if list.HasErrors() {
		return nil, list
	}
	return t.Prepare(&machine.WatcherSpec{Name: "w", Type: t.Name, Properties: n, Strict: true})
}

func (f *fleet) watcher(typ, properties string) watchers.Watcher {
	f.Helper()
	prepared, list := prepare(f.types()[typ], properties)
	if list.HasErrors() {
		f.Fatal(list)
	}
	return prepared.New()
}

func (f *fleet) look(id string, data map[string]any) *watchers.Look {
	log := slog.New(slog.NewJSONHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &watchers.Look{Machine: "m", Watcher: "w", State: "s", Identity: id, At: f.now, Data: data, Strict: true, Log: log}
}

// do takes one look as the node; as takes it as somebody else.
func (f *fleet) do(typ, properties string, data map[string]any) watchers.Report {
	f.Helper()
	return f.as("web1.example", typ, properties, data)
}

func (f *fleet) as(id, typ, properties string, data map[string]any) watchers.Report {
	f.Helper()
	return f.watcher(typ, properties).(watchers.Checker).Check(f.Context(), f.look(id, data))
}

func (f *fleet) nodeClaims(lifetime time.Duration) identity.Claims {
	return identity.Claims{
		Purpose: identity.PurposeNode, Identity: "web1.example", PublicKey: f.key.Public().String(), Cell: "c1",
		IssuedAt: noon, Expires: noon.Add(lifetime),
	}
}

// document is an assignment as a verified document comes out of a payload.
func (f *fleet) document(token string) map[string]any {
	return map[string]any{
		"identity": "web1.example", "cell": "c1", "urls": []any{"tls://b1:4222"}, "token": token,
		"roots": []any{f.root.Key.Public().String()}, "configuration": map[string]any{"interval": 300},
	}
}

// assign gives the node an assignment with a token of a lifetime from noon on.
func (f *fleet) assign(lifetime time.Duration) string {
	f.Helper()
	token := sign(f, f.enrollment, f.nodeClaims(lifetime))
	must(f, f.node.Store.Stage(&identity.Assignment{
		Identity: "web1.example", Cell: "c1", Token: token, Roots: []string{f.root.Key.Public().String()},
	}), f.node.Store.Activate(), f.node.Store.Commit())
	return token
}
