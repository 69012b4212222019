package watchers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// Document is a JSON object that questions are asked about. It knows where its members are, so that one is read without going through
// those before it. It is immutable; the zero Document has no members.
type Document struct {
	text    string
	members []documentMember
}

// documentMember is a member: its name and value are parts of the text.
type documentMember struct{ name, value string }

// maxDocumentMembers is how many members a document has at most. It is far above those of an inventory.
const maxDocumentMembers = 64

var errDocument = errors.New("it is no JSON object")

// ReadDocument copies a JSON object. It is an error where it is none, nests deeper than 64 levels, or has more than 64 members.
func ReadDocument(raw []byte) (*Document, error) {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || raw[0] != '{' || !json.Valid(raw) {
		return nil, errDocument
	}
	if jsonDepth(raw) > maxFactsDepth {
		return nil, fmt.Errorf("it is nested deeper than %d levels", maxFactsDepth)
	}
	d := &Document{text: string(raw)}
	n := 0
	whole := gjson.Parse(d.text)
	whole.ForEach(func(_, _ gjson.Result) bool { n++; return n <= maxDocumentMembers })
	if n > maxDocumentMembers {
		return nil, fmt.Errorf("it has more than %d members", maxDocumentMembers)
	}
	d.members = make([]documentMember, 0, n)
	whole.ForEach(func(key, value gjson.Result) bool {
		d.members = append(d.members, documentMember{key.Str, value.Raw})
		return true
	})
	return d, nil
}

// JSON is the document as it was read.
func (d *Document) JSON() string { return d.text }

// Size is about what the document takes in memory, in bytes.
func (d *Document) Size() int { return len(d.text) + 32*len(d.members) + 64 }

// Each calls what it is given with every member of the object at a path: the name, and JSON.
func (d *Document) Each(p Path, take func(name, value string)) {
	if at := p.find(d); at.IsObject() {
		at.ForEach(func(key, value gjson.Result) bool { take(key.Str, value.Raw); return true })
	}
}

// member is the member of a name, or else the first in the alphabet that has it in another case.
func (d *Document) member(word string) (found gjson.Result) {
	best := -1
	for i, m := range d.members {
		if m.name == word {
			best = i
			break
		}
		if strings.EqualFold(m.name, word) && (best < 0 || m.name < d.members[best].name) {
			best = i
		}
	}
	if best < 0 {
		return found
	}
	return gjson.Parse(d.members[best].value)
}
