package node_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// TestG45AFullRegisterKeepsItsNodes fills the register to where it takes nobody more. Who is in it renews its token and is revoked as ever; another
// is told that there is no room, and comes in when there is.
func TestG45AFullRegisterKeepsItsNodes(t *testing.T) {
	c := makeCell(t, func(o *overlay.InitOptions) { shortLived(t, "40s")(o) })
	smallStore(c)
	c.run()
	member := newMember(t, "n1.example", t.TempDir(), c.join, nil)
	member.becomes("active")
	js, err := jetstream.New(c.operator().Conn)
	if err != nil {
		t.Fatal(err)
	}
	joined := time.Now()
	nodes := c.bucket("NODES")
	status, err := nodes.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	most := status.(*jetstream.KeyValueBucketStatus).StreamInfo().Config.MaxBytes
	filler, err := json.Marshal(map[string]any{"identity": "filler", "state": "retired", "public_key": strings.Repeat("0", 64), "claims": strings.Repeat("x", 16<<10)})
	if err != nil {
		t.Fatal(err)
	}
	var fillers []string
	for i := 0; ; i++ {
		s, err := js.Stream(t.Context(), "KV_NODES")
		if err != nil {
			t.Fatal(err)
		}
		if int64(s.CachedInfo().State.Bytes)*100 >= most*96 {
			break
		}
		key := "filler" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		if _, err := nodes.Put(t.Context(), key, filler); err != nil {
			t.Fatal(err)
		}
		fillers = append(fillers, key)
	}
	// How full it was when the member came counts for a second.
	eventually(t, "a second is over", func() bool { return time.Since(joined) > time.Second })
	other := newMember(t, "n2.example", t.TempDir(), c.join, nil)
	eventually(t, "the other is told that there is no room", func() bool {
		_, data, _ := other.agent.Host().Glance("enrollment")
		reason, _ := data["reason"].(string)
		return strings.Contains(reason, "the register is full")
	})
	eventually(t, "the member renews its token", func() bool { return member.expires().After(time.Now().Add(time.Minute)) })
	for _, key := range fillers {
		if err := nodes.Purge(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.agent.Host().Fire(t.Context(), "enrollment", "try_again", nil, "operator"); err != nil {
		t.Fatal(err)
	}
	other.becomes("active")
}
