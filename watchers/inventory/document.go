package inventory

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/factgather"
)

const (
	protocol = "choria:registration:inventorycontent:1"
	// maxDocument leaves an event's payload room for what stands beside the document, and for the quotes that JSON escapes in it.
	maxDocument = machine.MaxPayload - 4096
	// maxKept bounds the documents that are kept for one fact document: those of a host's identities are mostly the same few.
	maxKept = 256
)

// running is a machine of the inventory.
type running struct {
	Version string `json:"version"`
	State   string `json:"state,omitempty"`
	Digest  string `json:"digest,omitempty"`
}

// content is the inventory that a document carries.
type content struct {
	Agents      []string           `json:"agents"`
	Classes     []string           `json:"classes"`
	Facts       json.RawMessage    `json:"facts"`
	Status      map[string]any     `json:"status"`
	Collectives []string           `json:"collectives"`
	Build       map[string]string  `json:"build_info"`
	Machines    map[string]running `json:"machines"`
}

// document is a registration document.
type document struct {
	text    string
	digest  string   // hex SHA-256 of what does not change by itself
	dropped []string // top-level facts that are too large
}

// survey is what a document is made of.
type survey struct {
	spec     *inventorySpec
	facts    *watchers.Facts
	classes  []string
	machines map[string]running
}

// archive keeps the documents that were made of the host's facts as they are now, for all identities of the host: facts are cleaned and
// hashed once, and what is the same is compressed once.
type archive struct {
	build string

	mu    sync.Mutex
	facts *watchers.Facts
	read  map[int]factSheet // by the limit of a fact
	made  map[string]document
}

// factSheet is the facts as they go into documents.
type factSheet struct {
	raw     json.RawMessage
	stable  string
	dropped []string
}

// document makes a document, or gives the one that was made of the same.
func (a *archive) document(s survey) (document, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.made == nil || a.facts != s.facts || len(a.made) >= maxKept {
		a.facts, a.read, a.made = s.facts, map[int]factSheet{}, map[string]document{}
	}
	sheet, err := a.sheet(s)
	if err != nil {
		return document{}, err
	}
	c := content{
		Agents: orNone(s.spec.Agents), Classes: orNone(s.classes), Collectives: orNone(s.spec.Collectives),
		Status: map[string]any{"machines": len(s.machines)}, Build: map[string]string{"version": a.version(s.facts), "release": machine.Release}, Machines: s.machines,
	}
	c.Facts, err = json.Marshal(sheet.stable)
	if err != nil {
		return document{}, err
	}
	stable, err := json.Marshal(c)
	if err != nil {
		return document{}, err
	}
	sum := sha256.Sum256(stable)
	digest := hex.EncodeToString(sum[:])
	key := fmt.Sprint(digest, s.spec.Inline, s.spec.FactLimit)
	if d, ok := a.made[key]; ok {
		return d, nil
	}
	d, err := fitting(c, sheet, s.spec.Inline)
	if err != nil {
		return document{}, err
	}
	d.digest = digest
	a.made[key] = d
	return d, nil
}

// version is that of the program.
func (a *archive) version(facts *watchers.Facts) string {
	if a.build != "" {
		return a.build
	}
	v, _ := facts.Get("statecraft.version")
	text, _ := v.(string)
	return text
}

// fitting writes a document, without the largest facts where it would be larger than what an event carries.
func fitting(c content, sheet factSheet, inline bool) (document, error) {
	facts := map[string]json.RawMessage{}
	if err := json.Unmarshal(sheet.raw, &facts); err != nil {
		return document{}, err
	}
	d := document{dropped: slices.Clone(sheet.dropped)}
	for c.Facts = sheet.raw; ; {
		text, err := encode(c, inline)
		if err == nil || !errors.Is(err, errTooLarge) || len(facts) == 0 {
			d.text = text
			return d, err
		}
		largest := slices.MaxFunc(slices.Sorted(maps.Keys(facts)), func(x, y string) int { return cmp.Compare(len(facts[x]), len(facts[y])) })
		delete(facts, largest)
		d.dropped = append(d.dropped, largest)
		if c.Facts, err = json.Marshal(facts); err != nil {
			return document{}, err
		}
	}
}

var errTooLarge = errors.New("the document is larger than what an event carries")

// sheet cleans the facts; under the lock.
func (a *archive) sheet(s survey) (factSheet, error) {
	if sheet, ok := a.read[s.spec.FactLimit]; ok {
		return sheet, nil
	}
	facts, _ := factgather.Cleaned(s.facts.Map())
	var sheet factSheet
	for name, value := range facts {
		raw, err := json.Marshal(value)
		if err != nil {
			return sheet, fmt.Errorf("the fact %s: %w", name, err)
		}
		if len(raw) > s.spec.FactLimit {
			sheet.dropped = append(sheet.dropped, name)
			delete(facts, name)
		}
	}
	slices.Sort(sheet.dropped)
	var err error
	if sheet.stable, err = factgather.StableHash(facts); err != nil {
		return sheet, err
	}
	if sheet.raw, err = json.Marshal(facts); err != nil {
		return sheet, err
	}
	a.read[s.spec.FactLimit] = sheet
	return sheet, nil
}

// encode writes a document.
func encode(c content, inline bool) (string, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	doc := map[string]any{"protocol": protocol}
	if inline {
		doc["content"] = json.RawMessage(raw)
	} else {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(raw); err != nil {
			return "", err
		}
		if err := z.Close(); err != nil {
			return "", err
		}
		doc["zcontent"] = base64.StdEncoding.EncodeToString(b.Bytes())
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return "", err
	}
	quoted, err := json.Marshal(string(text))
	if err != nil {
		return "", err
	}
	if len(quoted) > maxDocument {
		return "", fmt.Errorf("%w: %d bytes, without any fact; %d is the limit", errTooLarge, len(quoted), maxDocument)
	}
	return string(text), nil
}

func orNone(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
