package node_test

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/runtime/evidence"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/journal"
	"github.com/statecraft-io/statecraft/runtime/node"
)

// heads are the signed heads that the cell has of a journal.
func (c *cell) heads(js jetstream.JetStream, subject string) (found []evidence.Signed) {
	c.t.Helper()
	s, err := js.Stream(c.t.Context(), "HEADS")
	if err != nil {
		return nil
	}
	consumer, err := s.OrderedConsumer(c.t.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		c.t.Fatal(err)
	}
	batch, err := consumer.FetchNoWait(100)
	if err != nil {
		c.t.Fatal(err)
	}
	for m := range batch.Messages() {
		h, err := evidence.Open(m.Data())
		if err != nil {
			c.t.Errorf("%s: %v", m.Subject(), err)
		}
		found = append(found, h)
	}
	return found
}

// emptyJournal is one with a head and no machines.
type emptyJournal struct{}

// Head implements evidence.Journal.
func (emptyJournal) Head(context.Context, func(journal.Entry) error) (journal.Head, error) {
	return journal.Head{Log: "ab", Segment: 1, Size: 128, Sum: "cd"}, nil
}

// H76: nodes and hosts tell signed heads of their journals, also when they stop; what is not the node's own goes nowhere.
func TestH76NodesAndHostsTellTheirHeads(t *testing.T) {
	c := newCell(t, nil)
	js, err := jetstream.New(c.operator().Conn)
	if err != nil {
		t.Fatal(err)
	}
	soon := override(t, t.TempDir(), "node/evidence", "splay: 1m", "splay: 100ms")
	m := newMember(t, "n1.example", t.TempDir(), c.join, func(c *node.Config) { c.Machines = soon })
	m.becomes("active")
	eventually(t, "the cell has a head of the node's journal", func() bool { return stateOf(m.agent.Host(), "evidence") == "resting" })
	key, err := m.store.Key()
	if err != nil {
		t.Fatal(err)
	}
	heads := c.heads(js, "heads.n1=example")
	if len(heads) != 1 || heads[0].Key != key.Public() || heads[0].Identity != "n1.example" {
		t.Fatalf("the cell has %+v", heads)
	}
	eventually(t, "the cell has a head of the host's journal", func() bool { return len(c.heads(js, "heads."+hostToken(c))) > 0 })

	// One of another key is refused: whoever has the rights of the node cannot have it held against heads of keys that nobody knows.
	other, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	junk, err := evidence.Sign(t.Context(), emptyJournal{}, "n1.example", time.Now(), other)
	if err != nil {
		t.Fatal(err)
	}
	early, err := evidence.Sign(t.Context(), emptyJournal{}, "n1.example", time.Now().AddDate(70, 0, 0), key)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := evidence.Sign(t.Context(), emptyJournal{}, "n2.example", time.Now(), key)
	if err != nil {
		t.Fatal(err)
	}
	// Nor is one kept that is wrongly signed under the node's own key, of another time than now, or of another journal.
	wrong := bytes.ReplaceAll(junk.Envelope, []byte(other.Public().String()), []byte(key.Public().String()))
	inbox := "_INBOX.n1=example.junk"
	answers, err := m.session().SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	for what, envelope := range map[string][]byte{"of another key": junk.Envelope, "wrongly signed": wrong, "of another time": early.Envelope, "of another journal": elsewhere.Envelope} {
		var answer *nats.Msg
		eventually(t, "the instance that was asked before has ended", func() bool { // it answers before it ends, and until then it is busy
			if err := m.session().PublishRequest("node.n1=example.out.head", inbox, envelope); err != nil {
				t.Fatal(err)
			}
			if answer, err = answers.NextMsg(patience); err != nil {
				t.Fatal(err)
			}
			return answer.Header.Get(micro.ErrorCodeHeader) != "409"
		})
		if answer.Header.Get(micro.ErrorCodeHeader) != "403" {
			t.Errorf("a head %s: %v", what, answer)
		}
	}

	// What is no head goes nowhere.
	conn, _ := c.client("admin")
	if err := conn.PublishRequest("node.n1=example.out.head", "_INBOX.n1=example.x", []byte(`{"payloadType":"x","payload":"","signatures":[]}`)); err != nil {
		t.Fatal(err)
	}

	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	heads = c.heads(js, "heads.n1=example")
	if len(heads) != 2 || heads[1].Sum == heads[0].Sum {
		t.Fatalf("after the node has stopped the cell has %d heads", len(heads))
	}
	checked, err := journal.Check(t.Context(), filepath.Join(m.dir, "state", "journal"), []journal.Head{heads[0].Head.Head, heads[1].Head.Head})
	if err != nil || len(checked.Wrong) > 0 || checked.Heads[0].Standing != journal.Holds || checked.Heads[1].Standing != journal.Holds {
		t.Errorf("the journal: %+v %v", checked, err)
	}
}

// hostToken is the cell's host in subjects.
func hostToken(c *cell) string {
	c.t.Helper()
	found, err := filepath.Glob(filepath.Join(c.dir, "hosts", "*", "overlay.yaml"))
	if err != nil || len(found) != 1 {
		c.t.Fatal(found, err)
	}
	return filepath.Base(filepath.Dir(found[0]))
}
