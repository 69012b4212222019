package delivery

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// TestH62ANameOf100000CharactersEndsNothing asks for objects by names that no subject can be made of. Who asks hears
// why, the connection of the host stays, and the next who asks is served.
func TestH62ANameOf100000CharactersEndsNothing(t *testing.T) {
	t.Parallel()
	d := newDepotTest(t)
	log := &logged{}
	d.log = slog.New(slog.NewTextHandler(log, nil))
	store, err := d.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "BUNDLES"})
	if err != nil {
		t.Fatal(err)
	}
	data := []byte("what an honest node asks for")
	if _, err := store.PutBytes(t.Context(), digestOf(data), data); err != nil {
		t.Fatal(err)
	}
	d.serve(ofObjects)
	d.says(machine.OutcomeSuccess)
	conn, err := d.pool.Conn("overlay1", "fleet")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"", strings.Repeat("a", 100_000), strings.Repeat("a", 257), strings.Repeat("0", 3_000), "a b", "a\r\nPUB x 0", "a\x00b", "*", "a.>", "ä",
		strings.Repeat("\x01", 50_000),
	} {
		if m, code := d.piece(name, 0, 10); code != messaging.CodeUnreadable {
			t.Errorf("%.20q of %d bytes: the code is %q (%v), want %s", name, len(name), code, m.Header, messaging.CodeUnreadable)
		}
	}
	if m, code := d.piece(digestOf(data), 0, 1000); code != "" || string(m.Data) != string(data) {
		t.Errorf("an honest node is told %q: %q", code, m.Data)
	}
	if now, err := d.pool.Conn("overlay1", "fleet"); err != nil || now != conn || conn.IsClosed() {
		t.Errorf("the host's connection is another one: %v", err)
	}
	if text := log.String(); len(text) > 4_000 {
		t.Errorf("the log has %d bytes: %.2000s", len(text), text)
	}
}

// logged keeps what is logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// String is all that was logged.
func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
