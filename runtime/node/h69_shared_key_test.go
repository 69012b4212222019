package node_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// H69: TestH69OneKeyUnderTwoNames has one key with two identities, each a place of its own. Neither says anything in the other's name. Revoking one name
// leaves the other; revoking the key ends both, and whose it is needs no force.
func TestH69OneKeyUnderTwoNames(t *testing.T) {
	c, dir := newCell(t, nil), t.TempDir()
	first := newMember(t, "n1.example", dir, c.join, hurriedNodes(t))
	first.becomes("active")
	second := newMember(t, "n2.example", sharing(t, dir), c.join, hurriedNodes(t))
	second.becomes("active")
	key, _ := first.data("public_key").(string)
	if second.data("public_key") != key {
		t.Fatal("the keys are two")
	}
	spy, err := c.operator().SubscribeSync("node.n1=example.out.forged")
	if err != nil {
		t.Fatal(err)
	}
	conn := second.session()
	if err := conn.PublishMsg(&nats.Msg{Subject: "node.n1=example.out.forged"}); err != nil {
		t.Fatal(err)
	}
	if err := conn.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	if n, _, err := spy.Pending(); n > 0 || err != nil {
		t.Errorf("the key under one name speaks in the other's: %d, %v", n, err)
	}
	// The key that has the identity needs no approval for it; for its other name neither.
	for _, name := range []string{"n1=example", "n2=example"} {
		if code, said := c.question("approve", map[string]any{"node": name, "key": key, "by": "operator"}); code != messaging.CodeConflict {
			t.Errorf("%s: %q %s", name, code, said)
		}
	}
	c.ask("node", "n1=example")
	eventually(t, "the first is out", func() bool { return first.state() == "turned_away" || first.state() == "revoked" })
	before := second.token()
	second.reprovision()
	eventually(t, "the second has enrolled again", func() bool { return second.state() == "active" && second.token() != before })
	question := map[string]any{"kind": "key", "value": strings.ToUpper(key), "reason": "stolen", "by": "operator"}
	if code, said := c.question("revoke", question); code != "" || !strings.Contains(said, `"node":"n1.example"`) && !strings.Contains(said, `"node":"n2.example"`) {
		t.Errorf("the key, without force: %q %s", code, said)
	}
	eventually(t, "the second is out", func() bool { return second.state() == "turned_away" || second.state() == "revoked" })
}
