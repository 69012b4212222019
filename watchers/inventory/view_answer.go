package inventory

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// maxFields bounds the fields of a question.
const maxFields = 64

// question is a Query that can be answered.
type question struct {
	*Query
	where  *watchers.Question // nil holds for every node
	fields []watchers.Path    // as Fields
	limit  int                // of nodes
	room   int                // bytes for nodes
}

// answerOverhead is what an answer has beside its nodes: the counts, and the reasons of problems.
const answerOverhead = 16 << 10

// seenMembers are the members of an inventory that a question sees by their names.
func seenMembers() []string {
	return []string{"facts", "machines", "classes", "agents", "collectives", "status", "build_info"}
}

// read compiles what a query says.
func (q *Query) read(payload int) (*question, error) {
	read := &question{Query: q, limit: cmp.Or(min(q.Limit, MaxNodes), MaxNodes), room: payload - answerOverhead}
	if q.Where != "" {
		where, err := watchers.CompileQuestion(q.Where, seenMembers())
		if err != nil {
			return nil, refusal{messaging.CodeUnreadable, fmt.Sprintf("where: %v; a condition sees identity, last_seen, digest, %s, get_fact(path) and now()",
				err, strings.Join(seenMembers(), ", "))}
		}
		read.where = where
	}
	if len(q.Fields) > maxFields {
		return nil, refusal{messaging.CodeUnreadable, fmt.Sprintf("fields: there are %d; %d is the limit, or ask for the document", len(q.Fields), maxFields)}
	}
	for _, field := range q.Fields {
		path, err := watchers.ParsePath(field)
		if err != nil {
			return nil, refusal{messaging.CodeUnreadable, "fields: " + err.Error()}
		}
		read.fields = append(read.fields, path)
	}
	return read, nil
}

// answer answers a query, within a message of the broker's.
func (d *desk) answer(ctx context.Context, query *Query, payload int) ([]byte, error) {
	q, err := query.read(payload)
	if err != nil {
		return nil, err
	}
	known := d.sheet.all()
	asked := known
	if q.Node != "" {
		e := d.sheet.one(q.Node)
		if e == nil {
			return nil, refusal{messaging.CodeNotFound, "there is no inventory of " + brief(q.Node) + "; the nodes that there are come without a name"}
		}
		asked = []*entry{e}
	}
	hits, problems, err := q.holds(ctx, asked)
	if err != nil {
		return nil, errTooLong
	}
	a := &Answer{Known: len(known), Matched: len(hits), Problems: problems, AsOf: newest(known)}
	if n := d.sheet.missing(); n > 0 {
		a.Problems[fmt.Sprintf("left out: the view's memory of %d MiB is full", d.spec.Memory)] = n
	}
	if q.Machines != "" {
		err = q.sumUp(ctx, hits, a)
	} else {
		err = q.list(ctx, hits, a)
	}
	if err != nil {
		return nil, err
	}
	return encoded(a)
}

func newest(entries []*entry) (at time.Time) {
	for _, e := range entries {
		if e.seen.After(at) {
			at = e.seen
		}
	}
	return at
}

// list puts the nodes behind After into an answer, as many as fit.
func (q *question) list(ctx context.Context, hits []*entry, a *Answer) error {
	first, _ := slices.BinarySearchFunc(hits, q.After, byIdentity)
	for _, e := range hits[first:] {
		if ctx.Err() != nil {
			return errTooLong
		}
		if e.identity == q.After {
			continue
		}
		n := q.node(e)
		size, err := sizeOf(n)
		if err != nil {
			return err
		}
		switch q.room -= size; {
		case q.room < 0 && len(a.Nodes) == 0:
			return refusal{messaging.CodeTooLarge, fmt.Sprintf("what is asked of %s has %d bytes, more than an answer holds; ask for fewer fields", e.identity, size)}
		case q.room < 0 || len(a.Nodes) == q.limit:
			a.Next = a.Nodes[len(a.Nodes)-1].Identity
			return nil
		}
		a.Nodes = append(a.Nodes, n)
	}
	return nil
}

// node is what is asked of an entry.
func (q *question) node(e *entry) Node {
	n := Node{Identity: e.identity, LastSeen: e.seen, Digest: e.digest}
	if q.Document {
		n.Document = json.RawMessage(e.document.JSON())
	}
	for i, path := range q.fields {
		if raw := path.Raw(e.document); raw != "" {
			if n.Fields == nil {
				n.Fields = map[string]json.RawMessage{}
			}
			n.Fields[q.Fields[i]] = json.RawMessage(raw)
		}
	}
	return n
}

// sizeOf is how much of an answer a node takes.
func sizeOf(n Node) (int, error) {
	text, err := encoded(n)
	return len(text) + 1, err
}

// encoded writes JSON as it came: what is escaped needlessly takes more room.
func encoded(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("writing the answer: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// brief cuts what is repeated of a question.
func brief(text string) string {
	return diag.Brief(text, 100)
}
