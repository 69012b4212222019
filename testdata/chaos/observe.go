package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// observe asks the cell for all that the ledger is held against.
func (r *run) observe(ctx context.Context) (*world, error) {
	w := &world{
		register: map[string]string{}, keys: map[string]string{}, provisioned: map[string]int{}, startups: map[string]int{},
		view: map[string]string{}, revoked: map[string]bool{}, answering: map[string]bool{}, ticks: map[string]int{},
		stored: map[string]time.Time{},
	}
	for what, look := range map[string]func(context.Context, *world) error{
		"the streams": r.lookStreams, "the register": r.lookRegister, "the revocations": r.lookRevoked, "the events": r.lookEvents,
		"the view": r.lookView, "the inventories": r.lookStored, "what is published": r.lookPublished, "the nodes' machines": r.lookTicks,
	} {
		if err := look(ctx, w); err != nil {
			return nil, fmt.Errorf("looking at %s: %w", what, err)
		}
	}
	for _, log := range r.logs() {
		w.panics = append(w.panics, panics(log)...)
	}
	return w, nil
}

func (r *run) lookStreams(ctx context.Context, w *world) (err error) {
	w.lacking, err = r.cell.lacking(ctx)
	return err
}

// bucket calls f with every key of a bucket.
func (r *run) bucket(ctx context.Context, name string, f func(jetstream.KeyValueEntry) error) error {
	kv, err := r.cell.js.KeyValue(ctx, name)
	if err != nil {
		return err
	}
	all, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return err
	}
	defer func() { _ = all.Stop() }()
	for {
		select {
		case entry := <-all.Updates():
			if entry == nil {
				return nil
			}
			if err := f(entry); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func identityOf(token string) string { return strings.ReplaceAll(token, "=", ".") }

func (r *run) lookRegister(ctx context.Context, w *world) error {
	return r.bucket(ctx, "NODES", func(entry jetstream.KeyValueEntry) error {
		var record struct {
			State     string `json:"state"`
			PublicKey string `json:"public_key"`
		}
		id := identityOf(entry.Key())
		if err := json.Unmarshal(entry.Value(), &record); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		w.register[id], w.keys[id] = record.State, record.PublicKey
		return nil
	})
}

func (r *run) lookRevoked(ctx context.Context, w *world) error {
	err := r.bucket(ctx, "REVOKED", func(entry jetstream.KeyValueEntry) error {
		if token, ok := strings.CutPrefix(entry.Key(), "identity."); ok {
			w.revoked[identityOf(token)] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id := range w.revoked {
		ctx, stop := context.WithTimeout(ctx, 2*time.Second)
		_, err := r.cell.ask(ctx, "node."+strings.ReplaceAll(id, ".", "=")+".in.operate.reprovision", []byte(`{"reason":"it is revoked","by":"chaos"}`))
		stop()
		w.answering[id] = err == nil
		if err != nil && !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	return nil
}

// lookEvents reads the events that the cell keeps.
func (r *run) lookEvents(ctx context.Context, w *world) error {
	seen := map[string]bool{}
	return r.stream(ctx, "EVENTS", func(m jetstream.Msg) error {
		var event struct {
			ID   string
			Type string
			Data struct{ Identity, Component string }
		}
		if err := json.Unmarshal(m.Data(), &event); err != nil {
			return fmt.Errorf("an event of %s: %w", m.Subject(), err)
		}
		if seen[event.ID] && event.ID != "" {
			w.twice = append(w.twice, event.ID+" of "+m.Subject())
		}
		seen[event.ID] = true
		switch {
		case strings.HasSuffix(event.Type, ".provisioned"):
			w.provisioned[event.Data.Identity]++
		case strings.HasSuffix(event.Type, ".startup") && event.Data.Component == "server":
			w.startups[event.Data.Identity]++
		}
		return nil
	})
}

// stream calls f with every message of a stream.
func (r *run) stream(ctx context.Context, name string, f func(jetstream.Msg) error) error {
	consumer, err := r.cell.js.OrderedConsumer(ctx, name, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	for pending := int(consumer.CachedInfo().NumPending); pending > 0; {
		batch, err := consumer.Fetch(min(pending, 1000), jetstream.FetchContext(ctx))
		if err != nil {
			return err
		}
		before := pending
		for m := range batch.Messages() {
			pending--
			if err := f(m); err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil {
			return err
		}
		if pending == before {
			return errors.New("the stream gives no more messages")
		}
	}
	return nil
}

// lookView asks which node has which version of the machine.
func (r *run) lookView(ctx context.Context, w *world) error {
	out, err := r.cell.operate(ctx, "fleet", "machines", machineName, "--nodes", "--json")
	if err != nil {
		return err
	}
	var said struct {
		Nodes []struct{ Identity, Version, State string }
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return err
	}
	for _, n := range said.Nodes {
		w.view[n.Identity] = n.Version
		if n.State != "running" {
			w.view[n.Identity] = n.Version + " in " + n.State
		}
	}
	return nil
}

// lookStored notes when each node's last inventory was stored, which tells whether the stream or a view lacks it.
func (r *run) lookStored(ctx context.Context, w *world) error {
	return r.stream(ctx, "DISCOVERY", func(m jetstream.Msg) error {
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		w.stored[identityOf(strings.TrimPrefix(m.Subject(), "discovery."))] = meta.Timestamp
		return nil
	})
}

// lookPublished reads the list that counts, and the serials of those before it.
func (r *run) lookPublished(ctx context.Context, w *world) error {
	if len(r.led.published) == 0 {
		return nil
	}
	out, err := r.cell.operate(ctx, "registry", "show", "--json")
	if err != nil {
		return err
	}
	var list struct {
		Machines []struct{ Name, Version string }
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return err
	}
	for _, m := range list.Machines {
		if m.Name == machineName {
			w.listed = m.Version
		}
	}
	if out, err = r.cell.operate(ctx, "registry", "history", "--json"); err != nil {
		return err
	}
	return w.readHistory(out)
}

// lookTicks asks the nodes' own hosts.
func (r *run) lookTicks(ctx context.Context, w *world) error {
	for _, n := range r.real {
		out, err := r.cell.output(ctx, "states", counterName, "--state", n.stateDir(), "--json")
		if err != nil {
			return err
		}
		var said struct{ Data struct{ Ticks int } }
		if err := json.Unmarshal(out, &said); err != nil {
			return err
		}
		w.ticks[n.name] = said.Data.Ticks
	}
	return nil
}

// readHistory notes the serials of the publications, oldest first.
func (w *world) readHistory(text []byte) error {
	var history struct {
		Publications []struct{ Serial uint64 } // newest first
	}
	if err := json.Unmarshal(text, &history); err != nil {
		return err
	}
	for _, p := range slices.Backward(history.Publications) {
		w.serials = append(w.serials, p.Serial)
	}
	return nil
}
