package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime"
)

func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	return s.answer(w, s.host.Health())
}

func (s *Server) machines(w http.ResponseWriter, _ *http.Request) error {
	list := s.host.Machines()
	if list == nil {
		list = []runtime.MachineStatus{}
	}
	return s.answer(w, list)
}

func (s *Server) running(w http.ResponseWriter, _ *http.Request) error {
	list := s.host.Runs()
	if list == nil {
		list = []runtime.Running{}
	}
	return s.answer(w, list)
}

// turn is how long a machine may take for its turn. A peer that has sent all it has to say, and closed its side, still gets its
// answer, although net/http ends the request's context.
func turn(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), turnTimeout)
}

func (s *Server) machine(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := turn(r)
	defer cancel()
	detail, err := s.host.Machine(ctx, r.PathValue("name"))
	if err != nil {
		return err
	}
	return s.answer(w, detail)
}

func (s *Server) definition(w http.ResponseWriter, r *http.Request) error {
	d, ok := s.host.Definition(r.PathValue("name"))
	if !ok {
		return runtime.ErrUnknownMachine
	}
	w.Header().Set("Content-Type", "application/yaml")
	s.sent(w.Write(d.Manifest.Source))
	return nil
}

// history streams, until the peer no longer takes it. A machine that is not deployed any more has one too.
func (s *Server) history(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	_, known := s.host.Definition(name)
	progress := http.NewResponseController(w)
	lines := json.NewEncoder(w)
	begun := false
	err := s.host.History(context.WithoutCancel(r.Context()), name, func(e runtime.HistoryEntry) error {
		if known = known || e.Record != nil; !known {
			return nil // a gap of others
		}
		line, err := historyLine(e)
		if err != nil {
			return err
		}
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson")
			begun = true
		}
		return errors.Join(progress.SetWriteDeadline(time.Now().Add(writeTimeout)), lines.Encode(line))
	})
	switch {
	case err != nil && begun:
		return lines.Encode(HistoryLine{Error: s.refusal(r, err)})
	case err == nil && !known:
		return runtime.ErrUnknownMachine
	}
	return err
}

func historyLine(e runtime.HistoryEntry) (HistoryLine, error) {
	if e.Gap != nil {
		return HistoryLine{Gap: e.Gap}, nil
	}
	if e.JSON != nil {
		return HistoryLine{Record: e.JSON}, nil
	}
	raw, _, err := machine.EncodeRecord(e.Record)
	return HistoryLine{Record: raw, Volatile: true}, err
}

func (s *Server) fire(w http.ResponseWriter, r *http.Request) error {
	var req FireRequest
	if err := decodeBody(r.Body, &req); err != nil {
		return err
	}
	name := r.PathValue("name")
	d, ok := s.host.Definition(name)
	switch {
	case !ok:
		return runtime.ErrUnknownMachine
	case req.Event == "":
		return refuse(http.StatusBadRequest, `send {"event": "NAME", "payload": {}}`, "no event is named")
	}
	ctx, cancel := turn(r)
	defer cancel()
	who, _ := r.Context().Value(peerKey{}).(peer)
	fired, err := s.host.Fire(ctx, name, req.Event, req.Payload, who.name())
	if err != nil {
		return err
	}
	raw, _, err := machine.EncodeRecord(&fired.Record)
	if err != nil {
		return fmt.Errorf("encoding the record: %w", err)
	}
	a := FireAnswer{Record: raw, Durable: fired.Durable, Volatile: !d.Manifest.Durable}
	if fired.Record.Kind == machine.RecordRefused {
		a.Takes = takes(d, fired.Record.From)
	}
	return s.answer(w, a)
}

// decodeBody reads exactly one JSON object without unknown fields. Numbers stay as they were written.
func decodeBody(body io.Reader, into any) error {
	const hint = `send one JSON object: {"event": "NAME", "payload": {"key": "value"}}`
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	dec.UseNumber()
	err := dec.Decode(into)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the JSON object")
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refuse(http.StatusRequestEntityTooLarge, "payloads have at most 64 KiB; put what is larger into a file and send its path", "the request has more than %d bytes", MaxBody)
	case errors.Is(err, io.EOF):
		return refuse(http.StatusBadRequest, hint, "the request has no body")
	case err != nil:
		return refuse(http.StatusBadRequest, hint, "the request cannot be read: %v", err)
	}
	return nil
}

// takes lists the events that a state takes, as they come in the manifest.
func takes(d *machine.Definition, state string) []string {
	var events []string
	for _, t := range d.Manifest.Transitions {
		if !slices.Contains(events, t.Name) && (slices.Contains(t.From, state) || slices.Contains(t.From, "*")) {
			events = append(events, t.Name)
		}
	}
	return events
}

// noMachine is the answer for a name that is no machine's.
func (s *Server) noMachine(name string) *Error {
	var names []string
	for _, m := range s.host.Machines() {
		names = append(names, m.Name)
	}
	hint := "statecraft states lists the machines"
	if near := strict.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return refuse(http.StatusNotFound, hint, "no machine %.100q runs on this host", name)
}
