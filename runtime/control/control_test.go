package control_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/user"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/control"
	"github.com/statecraft-io/statecraft/watchers"
)

func TestHealthAndMachines(t *testing.T) {
	s := serve(t, pump, volatile)
	health, err := s.client.Health(t.Context())
	check(t, err)
	if diff := cmp.Diff(runtime.Health{Identity: "n1", Machines: 2, Durable: true}, health); diff != "" {
		t.Errorf("health: -want +got\n%s", diff)
	}
	for slices.ContainsFunc(s.host.Machines(), func(m runtime.MachineStatus) bool { return m.State == "" }) { // until they have started
		check(t, watchers.Rest(t.Context(), time.Millisecond))
	}
	list, err := s.client.Machines(t.Context())
	check(t, err)
	if diff := cmp.Diff(s.host.Machines(), list); diff != "" || len(list) != 2 {
		t.Errorf("machines: -host +client\n%s", diff)
	}
	text, err := s.client.Definition(t.Context(), "pump")
	check(t, err)
	if string(text) != pump {
		t.Errorf("the definition is\n%s", text)
	}
}

func TestNoMachinesIsAnEmptyList(t *testing.T) {
	s := serve(t)
	list, err := s.client.Machines(t.Context())
	if err != nil || list == nil || len(list) != 0 {
		t.Errorf("machines: %v, %v", list, err)
	}
}

func TestFireIsRecordedWithTheUser(t *testing.T) {
	s := serve(t, pump)
	me, err := user.Current()
	check(t, err)
	a, err := s.client.Fire(t.Context(), "pump", control.FireRequest{
		Event: "go", Payload: map[string]any{"big": json.Number("9007199254740993"), "html": "<&>\u2028"},
	})
	check(t, err)
	r, err := machine.DecodeRecord(a.Record)
	check(t, err)
	want := machine.Cause{Kind: machine.CauseOperator, Identity: me.Username}
	if diff := cmp.Diff(want, r.Cause); diff != "" || r.To != "busy" || !a.Durable || a.Volatile {
		t.Errorf("record %s, durable %t, cause -want +got\n%s", a.Record, a.Durable, diff)
	}
	if r.Payload["big"] != 9007199254740993 {
		t.Errorf("the payload's number became %v", r.Payload["big"])
	}
	d, err := s.client.Machine(t.Context(), "pump")
	check(t, err)
	if d.State != "busy" || d.Data["count"] != json.Number("1") || len(d.Watchers) != 1 {
		t.Errorf("machine: %+v", d)
	}
}

func TestRefusedEventSaysWhatIsTaken(t *testing.T) {
	s := serve(t, pump)
	a, err := s.client.Fire(t.Context(), "pump", control.FireRequest{Event: "done"})
	check(t, err)
	r, err := machine.DecodeRecord(a.Record)
	check(t, err)
	if r.Kind != machine.RecordRefused || r.Reason == "" {
		t.Errorf("record: %s", a.Record)
	}
	if diff := cmp.Diff([]string{"go", "note"}, a.Takes); diff != "" {
		t.Errorf("idle takes: -want +got\n%s", diff)
	}
}

func TestHistoryIsTheBytesThatWereStored(t *testing.T) {
	s := serve(t, pump)
	for range 3 {
		_, err := s.client.Fire(t.Context(), "pump", control.FireRequest{Event: "note", Payload: map[string]any{"text": "<a&b>\u2028"}})
		check(t, err)
	}
	var over, stored [][]byte
	check(t, s.client.History(t.Context(), "pump", func(e runtime.HistoryEntry) error {
		over = append(over, e.JSON)
		return nil
	}))
	check(t, runtime.ReadHistory(t.Context(), s.dir, "pump", func(e runtime.HistoryEntry) error {
		stored = append(stored, e.JSON)
		return nil
	}))
	if len(over) != 4 || !cmp.Equal(over, stored, cmp.Comparer(bytes.Equal)) {
		t.Errorf("over the socket:\n%s\nstored:\n%s", bytes.Join(over, []byte("\n")), bytes.Join(stored, []byte("\n")))
	}
}

func TestHistoryOfAMachineThatKeepsNothing(t *testing.T) {
	s := serve(t, volatile)
	a, err := s.client.Fire(t.Context(), "fan", control.FireRequest{Event: "go"})
	check(t, err)
	if a.Durable || !a.Volatile {
		t.Errorf("answer: %+v", a)
	}
	var states []string
	check(t, s.client.History(t.Context(), "fan", func(e runtime.HistoryEntry) error {
		if e.JSON != nil {
			t.Errorf("the record %s is said to be stored", e.JSON)
		}
		states = append(states, e.Record.To)
		return nil
	}))
	if diff := cmp.Diff([]string{"idle", "busy"}, states); diff != "" {
		t.Errorf("states: -want +got\n%s", diff)
	}
}

func TestHistoryEndsWithTheReader(t *testing.T) {
	s := serve(t, pump)
	enough := errors.New("enough")
	err := s.client.History(t.Context(), "pump", func(runtime.HistoryEntry) error { return enough })
	if !errors.Is(err, enough) {
		t.Errorf("error: %v", err)
	}
}

func TestHistoryOfARemovedMachine(t *testing.T) {
	s := serve(t, pump)
	check(t, s.host.Remove(t.Context(), "pump"))
	n := 0
	check(t, s.client.History(t.Context(), "pump", func(runtime.HistoryEntry) error { n++; return nil }))
	if n != 1 {
		t.Errorf("%d records, want 1", n)
	}
}

func TestUnknownMachine(t *testing.T) {
	s := serve(t, pump)
	for name, ask := range map[string]func(name string) error{
		"machine":    func(n string) error { _, err := s.client.Machine(t.Context(), n); return err },
		"definition": func(n string) error { _, err := s.client.Definition(t.Context(), n); return err },
		"history": func(n string) error {
			return s.client.History(t.Context(), n, func(runtime.HistoryEntry) error { return nil })
		},
		"fire": func(n string) error {
			_, err := s.client.Fire(t.Context(), n, control.FireRequest{Event: "go"})
			return err
		},
	} {
		for machine, hint := range map[string]string{"pmup": `did you mean "pump"?`, "a/../b": "/v1/machines", "\n": "statecraft states"} {
			var refused *control.Error
			if err := ask(machine); !errors.As(err, &refused) || refused.Status != 404 || !strings.Contains(refused.Hint, hint) {
				t.Errorf("%s of %q: %v (%+v)", name, machine, err, refused)
			}
		}
	}
}

func TestMetrics(t *testing.T) {
	s := serve(t, pump)
	answer := s.send(t, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	if !bytes.Contains(answer, []byte("statecraft_machines 1\n")) {
		t.Errorf("metrics:\n%s", answer)
	}
}

func TestStoppedHost(t *testing.T) {
	s := serve(t, pump)
	s.stop()
	if _, err := s.client.Health(t.Context()); !errors.Is(err, control.ErrNoHost) {
		t.Errorf("error: %v", err)
	}
}
