package consumers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/watchers"
)

func (g *gateway) serves(stream string) bool { return slices.Contains(g.spec.Streams, stream) }

// answer answers a request that is no pull.
func (g *gateway) answer(r *request) {
	answer, err := g.ask(r)
	var f fault
	switch {
	case err == nil:
		g.count.request(countAnswered)
		g.say(r, answer)
	case errors.As(err, &f):
		g.refuse(r, false, countRefused, f)
	default:
		g.refuse(r, false, countFailed, fault{503, codeNotAvailable, "the cell's JetStream does not answer at the moment: " + err.Error()})
	}
}

// document is an answer of JetStream. Numbers stay as they are written.
type document map[string]any

// ask does what a request asks for.
func (g *gateway) ask(r *request) (any, error) {
	verb, rest := "", r.api
	for _, known := range [][]string{
		{"INFO"}, {"STREAM", "INFO"}, {"STREAM", "NAMES"}, {"STREAM", "LIST"},
		{"CONSUMER", "CREATE"}, {"CONSUMER", "DURABLE", "CREATE"}, {"CONSUMER", "INFO"}, {"CONSUMER", "DELETE"}, {"CONSUMER", "NAMES"}, {"CONSUMER", "LIST"},
	} {
		if len(r.api) >= len(known) && slices.Equal(r.api[:len(known)], known) {
			verb, rest = strings.Join(known, "."), r.api[len(known):]
		}
	}
	stream, named := "", len(rest) >= 2 && isConsumer(rest[1])
	if verb != "" && len(rest) > 0 {
		if stream = rest[0]; !g.serves(stream) {
			return nil, fault{404, codeNoStream, "stream not found: there are " + strings.Join(g.spec.Streams, ", ")}
		}
	}
	switch {
	case verb == "INFO" && len(rest) == 0:
		return g.account(r)
	case verb == "STREAM.INFO" && len(rest) == 1:
		return g.jetStream("STREAM.INFO."+stream, nil)
	case verb == "STREAM.NAMES" && len(rest) == 0:
		return g.streamNames(r)
	case verb == "STREAM.LIST" && len(rest) == 0:
		return g.streams(r)
	case verb == "CONSUMER.CREATE" && len(rest) >= 1:
		return g.newConsumer(r, stream, rest[1:], false)
	case verb == "CONSUMER.DURABLE.CREATE" && len(rest) == 2:
		return g.newConsumer(r, stream, rest[1:], true)
	case verb == "CONSUMER.INFO" && len(rest) == 2 && named, verb == "CONSUMER.DELETE" && len(rest) == 2 && named:
		d, err := g.jetStream(verb+"."+stream+"."+fullName(r.who, rest[1]), nil)
		return own(d, r.who), err
	case verb == "CONSUMER.NAMES" && len(rest) == 1:
		return g.consumerNames(r, stream)
	case verb == "CONSUMER.LIST" && len(rest) == 1:
		return g.consumerList(r, stream)
	default:
		return nil, fault{403, codeBadRequest, "not served here: a client makes, asks for and deletes pull consumers of its own, pulls and acknowledges; " +
			"docs/consumers.md has what there is"}
	}
}

// jetStream asks JetStream. The error is a fault where that is what it says.
func (g *gateway) jetStream(subject string, body any) (document, error) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(g.ctx, askTimeout)
	defer cancel()
	m, err := g.conn.RequestWithContext(ctx, apiPrefix+subject, data)
	if err != nil {
		return nil, err
	}
	var said struct {
		Error *fault `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &said); err != nil {
		return nil, err
	}
	if said.Error != nil {
		return nil, *said.Error
	}
	d := document{}
	numbers := json.NewDecoder(bytes.NewReader(m.Data))
	numbers.UseNumber()
	return d, numbers.Decode(&d)
}

// own gives a consumer the name that its client knows it by.
func own(d document, who string) document {
	rename := func(in map[string]any, key string) {
		if full, ok := in[key].(string); ok {
			in[key] = strings.TrimPrefix(full, who+keyEnd)
		}
	}
	rename(d, "name")
	if config, ok := d["config"].(map[string]any); ok {
		rename(config, "name")
		rename(config, "durable_name")
	}
	return d
}

// account says what a client may have.
func (g *gateway) account(r *request) (any, error) {
	n := 0
	for _, stream := range g.spec.Streams {
		mine, _, err := g.names(r.who, stream)
		if err != nil {
			return nil, err
		}
		n += len(mine)
	}
	limits := map[string]any{"max_memory": 0, "max_storage": 0, "max_streams": len(g.spec.Streams), "max_consumers": g.spec.Each * len(g.spec.Streams)}
	return map[string]any{
		"type": "io.nats.jetstream.api.v1.account_info_response", "memory": 0, "storage": 0, "streams": len(g.spec.Streams), "consumers": n, "limits": limits,
		"api": map[string]any{"total": 0, "errors": 0},
	}, nil
}

// offsetOf is where a list that comes in pages is to begin. Everything is in one page here.
func offsetOf(r *request) (offset int, subject string, err error) {
	var asked struct {
		Offset  int    `json:"offset"`
		Subject string `json:"subject" most:"1024"`
	}
	if len(bytes.TrimSpace(r.body)) > 0 {
		if err := watchers.ReadRequest(r.body, &asked); err != nil {
			return 0, "", fault{400, codeBadRequest, "the request is no JSON of this kind: " + err.Error()}
		}
	}
	return max(asked.Offset, 0), asked.Subject, nil
}

// page is an answer that has a list.
func page[T any](kind, name string, all []T, offset int) map[string]any {
	shown := append([]T{}, all[min(offset, len(all)):]...)
	return map[string]any{"type": "io.nats.jetstream.api.v1." + kind, "total": len(all), "offset": offset, "limit": max(len(all), 1), name: shown}
}

func (g *gateway) streamNames(r *request) (any, error) {
	offset, subject, err := offsetOf(r)
	if err != nil {
		return nil, err
	}
	names := g.spec.Streams
	if subject != "" {
		d, err := g.jetStream("STREAM.NAMES", map[string]any{"subject": subject})
		if err != nil {
			return nil, err
		}
		found, _ := d["streams"].([]any)
		names = nil
		for _, name := range found {
			if text, ok := name.(string); ok && g.serves(text) {
				names = append(names, text)
			}
		}
	}
	return page("stream_names_response", "streams", names, offset), nil
}

func (g *gateway) streams(r *request) (any, error) {
	offset, _, err := offsetOf(r)
	if err != nil {
		return nil, err
	}
	var all []document
	for _, stream := range g.spec.Streams {
		d, err := g.jetStream("STREAM.INFO."+stream, nil)
		var f fault
		if errors.As(err, &f) && f.Code == 404 {
			continue // a cell that is new makes it at this moment
		}
		if err != nil {
			return nil, err
		}
		delete(d, "type")
		all = append(all, d)
	}
	return page("stream_list_response", "streams", all, offset), nil
}

// names lists the consumers of a client on a stream, without its key, and counts all of the stream.
func (g *gateway) names(who, stream string) (mine []string, all int, err error) {
	for {
		d, err := g.jetStream("CONSUMER.NAMES."+stream, map[string]any{"offset": all})
		if err != nil {
			return nil, 0, err
		}
		found, _ := d["consumers"].([]any)
		for _, one := range found {
			full, _ := one.(string)
			if name, ok := strings.CutPrefix(full, who+keyEnd); ok {
				mine = append(mine, name)
			}
		}
		all += len(found)
		total, _ := d["total"].(json.Number)
		if n, _ := total.Int64(); len(found) == 0 || int64(all) >= n {
			return mine, all, nil
		}
	}
}

func (g *gateway) consumerNames(r *request, stream string) (any, error) {
	offset, _, err := offsetOf(r)
	if err != nil {
		return nil, err
	}
	mine, _, err := g.names(r.who, stream)
	if err != nil {
		return nil, err
	}
	return page("consumer_names_response", "consumers", mine, offset), nil
}

func (g *gateway) consumerList(r *request, stream string) (any, error) {
	offset, _, err := offsetOf(r)
	if err != nil {
		return nil, err
	}
	mine, _, err := g.names(r.who, stream)
	if err != nil {
		return nil, err
	}
	var all []document
	for _, name := range mine {
		d, err := g.jetStream("CONSUMER.INFO."+stream+"."+fullName(r.who, name), nil)
		var f fault
		if errors.As(err, &f) {
			continue // it has gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		delete(d, "type")
		all = append(all, own(d, r.who))
	}
	return page("consumer_list_response", "consumers", all, offset), nil
}
