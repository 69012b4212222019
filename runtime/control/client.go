package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
)

// maxLine bounds a line of an answer: above any record (1 MiB), with room.
const maxLine = 4 << 20

// Client speaks to the host of a state folder. Its errors are ErrNoHost and ErrNotAllowed where no host could be spoken to, and an *Error
// where it refused. It is safe for concurrent use.
type Client struct {
	path string
	http *http.Client
}

// NewClient makes a client; it connects when it is used. Close lets go of its connections.
func NewClient(stateDir string) *Client {
	c := &Client{path: SocketPath(stateDir)}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", c.path)
			if err == nil || errors.Is(err, fs.ErrPermission) {
				return conn, err
			}
			for _, path := range asidePaths(stateDir) {
				if !trusted(path, stateDir) {
					continue
				}
				if aside, failed := new(net.Dialer).DialContext(ctx, "unix", path); failed == nil {
					return aside, nil
				}
			}
			return nil, err
		},
	}}
	return c
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Health asks whether the host keeps its promises.
func (c *Client) Health(ctx context.Context) (h runtime.Health, err error) {
	return h, c.get(ctx, "/v1/health", &h)
}

// Machines lists the machines by name.
func (c *Client) Machines(ctx context.Context) (list []runtime.MachineStatus, err error) {
	return list, c.get(ctx, "/v1/machines", &list)
}

// Running lists what runs, and by whose word. A host of an earlier release refuses it.
func (c *Client) Running(ctx context.Context) (list []runtime.Running, err error) {
	return list, c.get(ctx, "/v1/running", &list)
}

// Machine describes one machine.
func (c *Client) Machine(ctx context.Context, name string) (d runtime.MachineDetail, err error) {
	return d, c.get(ctx, machinePath(name, ""), &d)
}

// Definition returns the text of the manifest that a machine runs.
func (c *Client) Definition(ctx context.Context, name string) ([]byte, error) {
	answer, err := c.do(ctx, http.MethodGet, machinePath(name, "/definition"), nil)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	text, err := io.ReadAll(io.LimitReader(answer, maxLine))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of the host: %w", err)
	}
	return text, nil
}

// Fire fires an operator's event. An event that the machine cannot take is no error: its record says why.
func (c *Client) Fire(ctx context.Context, name string, req FireRequest) (a FireAnswer, err error) {
	body, err := json.Marshal(req)
	if err != nil {
		return a, fmt.Errorf("encoding event %q: %w", req.Event, err)
	}
	answer, err := c.do(ctx, http.MethodPost, machinePath(name, "/fire"), body)
	if err != nil {
		return a, err
	}
	defer answer.Close()
	return a, decodeAnswer(answer, &a)
}

// History calls f with the records of a machine that are kept, and the gaps, oldest first, as Host.History does.
func (c *Client) History(ctx context.Context, name string, f func(runtime.HistoryEntry) error) error {
	answer, err := c.do(ctx, http.MethodGet, machinePath(name, "/history"), nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	lines := bufio.NewScanner(answer)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		e, err := historyEntry(lines.Bytes())
		if err != nil {
			return err
		}
		if err := f(e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the history of machine %q: %w: %w", name, errIncomplete, err)
	}
	return nil
}

func historyEntry(b []byte) (e runtime.HistoryEntry, err error) {
	var line HistoryLine
	if err := json.Unmarshal(b, &line); err != nil {
		return e, fmt.Errorf("%w: %w", errNotOurs, err)
	}
	switch {
	case line.Error != nil:
		return e, line.Error
	case line.Gap != nil:
		e.Gap = line.Gap
		return e, nil
	}
	if e.Record, err = machine.DecodeRecord(line.Record); err != nil {
		return e, fmt.Errorf("%w: %w", errNotOurs, err)
	}
	if !line.Volatile {
		e.JSON = bytes.Clone(line.Record)
	}
	return e, nil
}

func machinePath(name, rest string) string { return "/v1/machines/" + url.PathEscape(name) + rest }

func (c *Client) get(ctx context.Context, path string, into any) error {
	answer, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	return decodeAnswer(answer, into)
}

// decodeAnswer reads a JSON document, numbers as they were written.
func decodeAnswer(r io.Reader, into any) error {
	dec := json.NewDecoder(r)
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("reading the answer of the host: %w", err)
	}
	return nil
}

// do sends a request and returns the body of an answer that is none of the refusals. The caller closes it.
func (c *Client) do(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	if len(c.path) > MaxPath {
		return nil, fmt.Errorf("%s: %w", c.path, ErrTooLong)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://host"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("asking the host: %w", err)
	}
	answer, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("%w on %s", ErrNoHost, c.path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: %s", ErrNotAllowed, c.path)
	case err != nil:
		return nil, fmt.Errorf("asking the host: %w", err)
	case answer.StatusCode == http.StatusOK:
		return answer.Body, nil
	}
	defer answer.Body.Close()
	e := &Error{Status: answer.StatusCode}
	if err := decodeAnswer(io.LimitReader(answer.Body, maxLine), e); err != nil {
		return nil, fmt.Errorf("%w: %s", errNotOurs, answer.Status)
	}
	return nil, e
}
