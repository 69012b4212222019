package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

// TestE33WhoCannotWaitForAnObjectIsAnsweredAtOnce: while an object is being read, so many wait for it, and the others hear that at once.
func TestE33WhoCannotWaitForAnObjectIsAnsweredAtOnce(t *testing.T) {
	c := newObjectCache(1000, 3)
	hold, told := make(chan struct{}), make(chan error, 10)
	load := func(name string) {
		c.load(t.Context(), name, 0, func() ([]byte, error) { <-hold; return []byte(name), nil }, func(_ []byte, err error) { told <- err })
	}
	for _, name := range []string{"a", "a", "b"} {
		load(name)
	}
	for _, name := range []string{"a", "c"} {
		load(name)
		if err := <-told; !errors.Is(err, errCrowd) {
			t.Errorf("%s: %v", name, err)
		}
	}
	close(hold)
	for range 3 {
		if err := <-told; err != nil {
			t.Error(err)
		}
	}
	load("c")
	if err := <-told; err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// TestG45ADepotAnswersWhatIsOverAQuotaWithBusy says when to come again, and answers others.
func TestG45ADepotAnswersWhatIsOverAQuotaWithBusy(t *testing.T) {
	d := newDepotTest(t)
	if _, err := d.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "BUNDLES"}); err != nil {
		t.Fatal(err)
	}
	d.serve(ofObjects + "\nmax_size: 1KiB\nquota: [{by: \"message.tokens[1]\", rate: 6/m, burst: 5}]")
	d.says("success")
	ask := func(subject, name string) *nats.Msg {
		body, err := json.Marshal(ObjectQuery{name, "BUNDLES", 0, 10})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), archivePatience)
		defer cancel()
		m, err := d.asker.RequestWithContext(ctx, subject, body)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	codes := map[string]int{}
	for i := range 20 {
		m := ask("node.n1=example.out.bundle", fmt.Sprint("none", i))
		code := m.Header.Get(micro.ErrorCodeHeader)
		codes[code]++
		if code == "429" && m.Header.Get("Retry-After") != "10" {
			t.Errorf("to come again after %q", m.Header.Get("Retry-After"))
		}
	}
	if codes["404"] != 5 || codes["429"] != 15 {
		t.Errorf("answers: %v", codes)
	}
}
