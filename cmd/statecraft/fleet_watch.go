package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// fleetWatchVerb follows the events of a fleet.
type fleetWatchVerb struct {
	contextFlags
}

// The types of events of the overlay begin with the first; the second is told of a revocation.
const (
	overlayEvents = "io.statecraft.overlay."
	revokedEvent  = overlayEvents + "revoked.v1"
)

// watchedEvents is how many events may wait for a slow reader before some are lost, which standard error then tells.
const watchedEvents = 8192

// Run prints events until it is interrupted.
func (v *fleetWatchVerb) Run(inv *invocation) error {
	m, err := v.connect(inv, "fleet_view")
	if err != nil {
		return err
	}
	defer m.close()
	const doing = "watching the fleet"
	events := make(chan *nats.Msg, watchedEvents)
	for _, subject := range []string{"choria.lifecycle.event.>", "choria.machine.>", "overlay.event.>"} {
		if _, err := m.ChanSubscribe(subject, events); err != nil {
			return m.failed(doing, err)
		}
	}
	ctx, cancel := m.patience()
	defer cancel()
	if err := m.FlushWithContext(ctx); err != nil {
		return m.failed(doing, err)
	}
	inv.notef("watching the fleet as %s; ctrl-c ends it", m.name)
	for {
		select {
		case msg := <-events:
			inv.event(msg)
			if inv.out.err != nil {
				return nil // which run tells
			}
		case err := <-m.lost:
			return m.failed(doing, err)
		case <-m.ctx.Done():
			return m.failed(doing, m.ctx.Err())
		}
	}
}

// event prints an event on a line.
func (inv *invocation) event(msg *nats.Msg) {
	if !inv.json {
		inv.printf("%s\n", printable(eventLine(msg)))
		return
	}
	var line bytes.Buffer
	if err := json.Compact(&line, msg.Data); err != nil {
		inv.notef("a message on %s is no event: %v", printable(msg.Subject), err)
		return
	}
	inv.printf("%s\n", line.Bytes())
}

// fleetEvent is what is printed of an event in words.
type fleetEvent struct {
	Subject  string    `json:"subject"` // the identity
	Type     string    `json:"type"`
	Time     time.Time `json:"time"`
	Instance string    `json:"instance"`
	Message  string    `json:"message"` // why
	Data     struct {
		Component  string `json:"component"`
		Version    string `json:"version"`
		Machine    string `json:"machine"`
		Name       string `json:"name"` // of the watcher
		Transition string `json:"transition"`
		From       string `json:"from_state"`
		To         string `json:"to_state"`
		Outcome    string `json:"previous_outcome"`
		Connected  *bool  `json:"connected"` // of a watcher of a connection, in place of an outcome
		// Of the overlay.
		Host     string   `json:"host"`
		State    string   `json:"state"`
		Claimant string   `json:"claimant"`
		Reason   string   `json:"reason"`
		Cause    string   `json:"cause"`   // of a host's health
		Differs  []string `json:"differs"` // of its settings
		Kind     string   `json:"kind"`    // what was revoked
		Value    string   `json:"value"`
		Node     string   `json:"node"`
		Want     string   `json:"want"`
		Key      string   `json:"key"`
		By       string   `json:"by"`
		// Throttled is of a machine that turns without a pause, or does no more.
		Throttled bool `json:"throttled"`
	} `json:"data"`
}

// eventLine is an event in words: when, who, what.
func eventLine(msg *nats.Msg) string {
	var e fleetEvent
	var field *json.UnmarshalTypeError // machines of a site may give a field of theirs another type
	if err := json.Unmarshal(msg.Data, &e); err != nil && !errors.As(err, &field) || e.Type == "" {
		return "- - " + msg.Subject + ": not an event that is known here"
	}
	if e.Type == revokedEvent {
		e.Subject = cmp.Or(e.Data.Node, e.Data.Host, "-") // whose it was
	}
	return strings.Join([]string{instant(e.Time), orDash(e.Subject), e.what()}, "  ")
}

// machine is the machine's name, with the key of an instance.
func (e *fleetEvent) machine() string {
	if e.Instance == "" {
		return e.Data.Machine
	}
	return e.Data.Machine + ":" + e.Instance
}

func (e *fleetEvent) because() string {
	if e.Message == "" {
		return ""
	}
	return "because " + e.Message
}

func (e *fleetEvent) what() string {
	words := func(texts ...string) string { return strings.Join(strings.Fields(strings.Join(texts, " ")), " ") }
	d := e.Data
	lifecycle, isLifecycle := strings.CutPrefix(e.Type, "io.choria.lifecycle.v1.")
	switch {
	case isLifecycle:
		return words(lifecycle, d.Component, d.Version)
	case e.Type == "io.choria.machine.v1.transition":
		return words(e.machine(), d.From, "--"+d.Transition+"-->", d.To, e.because())
	case e.Type == "io.statecraft.machine.v1.throttled":
		return words(e.machine(), map[bool]string{true: "throttled in", false: "no longer throttled, in"}[d.Throttled], d.State)
	case strings.HasPrefix(e.Type, "io.choria.machine.watcher."):
		outcome := d.Outcome
		if d.Connected != nil {
			outcome = map[bool]string{true: "connected", false: "not connected"}[*d.Connected]
		}
		return words(e.machine(), "watcher", d.Name, outcome, e.because())
	case e.Type == "io.statecraft.overlay.conflict.v1":
		return words("claimed by another:", d.Claimant, "-", d.Reason)
	case e.Type == "io.statecraft.overlay.refused.v1":
		return words("turned away:", d.Claimant, "-", d.Reason)
	case e.Type == "io.statecraft.overlay.approval.v1":
		return words(d.Want, d.Key, "by", d.By)
	case e.Type == revokedEvent:
		return words("revoked:", d.Kind, strings.ReplaceAll(d.Value, "=", "."), "by", d.By, "-", d.Reason)
	default:
		if about, isOverlay := strings.CutPrefix(e.Type, overlayEvents); isOverlay { // of a host: settings, join, uplink, health, keys
			about, _, _ = strings.Cut(about, ".")
			return words("host", about+":", d.State, d.Cause, strings.Join(d.Differs, ", "), d.Reason)
		}
		return words(e.Type, d.Machine, d.Name, d.Host, d.State, d.Reason)
	}
}
