package watchers

import (
	"container/list"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// CodeQuota is a rate or a size of a listener that cannot be read.
const CodeQuota diag.Code = "SC258"

// Quota is a property of listeners: how much they take, in the long run and at once, of each who is
// counted. Several hosts that share a queue count each for itself.
type Quota struct {
	// Where is a condition, over the message's subject and tokens: messages for which it is false are not counted.
	Where *Condition `yaml:"where" gives:"boolean" empty:"refused"`
	// By is an expression, over the message's subject and tokens, for who is counted, such as
	// message.tokens[1]. Without it all are counted together.
	By *Formula `yaml:"by" gives:"text" empty:"refused"`
	// Rate is how many messages are taken in the long run, such as 10/s, 5/m or 100/h. Absent is no
	// bound.
	Rate Frequency `yaml:"rate" empty:"refused"`
	// Burst is how many messages are taken at once, after a time without any.
	Burst int `yaml:"burst" empty:"refused" default:"100" min:"1" max:"1000000"`
	// Bytes is how many bytes are taken in the long run, such as 512/s or 2MiB/h: bodies, subjects and
	// headers. Absent is no bound.
	Bytes Frequency `yaml:"bytes" empty:"refused"`
	// BytesBurst is how many bytes are taken at once, after a time without any.
	BytesBurst Bytes `yaml:"bytes_burst" empty:"refused" default:"2MiB"`
}

// CheckQuotas reports what of a list of quotas bounds nothing. n is the property as it is written.
func CheckQuotas(quotas []Quota, n *strict.Node) (found diag.List) {
	if n == nil || len(n.Items) != len(quotas) {
		return nil
	}
	for i, q := range quotas {
		item := n.Items[i]
		switch burst, bytesBurst := item.Get("burst"), item.Get("bytes_burst"); {
		case q.Rate == 0 && q.Bytes == 0:
			found.Add(diag.Error, CodeQuota, item.Pos, "add rate, such as 10/s, or bytes, such as 2KiB/h", "quota: without rate and bytes it bounds nothing")
		case q.Rate == 0 && burst != nil:
			found.Add(diag.Error, CodeQuota, burst.Pos, "add rate, such as 10/s, or leave burst out", "burst: without rate it bounds nothing")
		case q.Bytes == 0 && bytesBurst != nil:
			found.Add(diag.Error, CodeQuota, bytesBurst.Pos, "add bytes, such as 2KiB/h, or leave bytes_burst out", "bytes_burst: without bytes it bounds nothing")
		}
	}
	return found
}

// Bytes is a number of bytes, 0 for no bound. It is written with KiB, MiB, GiB or TiB, or without a unit.
type Bytes int64

// UnmarshalNode implements strict.Unmarshaler.
func (b *Bytes) UnmarshalNode(n *strict.Node, _ strict.Options) (found diag.List) {
	size, ok := uint64(0), false
	if n.Kind == strict.Scalar {
		size, ok = parseSize(n.Value)
	}
	if !ok || size == 0 || size > 1<<62 {
		found.Add(diag.Error, CodeQuota, n.Pos, "write a number of bytes with KiB, MiB or GiB, such as 64KiB",
			"%q is not a size", n.Value)
	}
	*b = Bytes(size)
	return found
}

// Frequency is how much there may be in a second, 0 for no bound. It is written as a number or size and a
// unit of time: 10/s, 1KiB/m, 100/h, 20KiB/d.
type Frequency float64

var frequencyUnits = map[string]float64{"s": 1, "m": 60, "h": 3600, "d": 86400}

// UnmarshalNode implements strict.Unmarshaler.
func (f *Frequency) UnmarshalNode(n *strict.Node, _ strict.Options) (found diag.List) {
	amount, unit, _ := strings.Cut(n.Value, "/")
	size, ok := uint64(0), false
	if n.Kind == strict.Scalar {
		size, ok = parseSize(amount)
	}
	seconds := frequencyUnits[unit]
	if !ok || size == 0 || seconds == 0 {
		found.Add(diag.Error, CodeQuota, n.Pos, "write how much in which time, such as 10/s, 5/m or 2KiB/h",
			"%q is not a rate", n.Value)
		return found
	}
	*f = Frequency(float64(size) / seconds)
	return found
}

// mostCounted is how many are counted apart in one quota. Whoever may say who they are can be more; of those that
// are beyond, who was heard the longest ago is forgotten, and begins anew.
const mostCounted = 16384

// Meter counts by quotas. It is safe for concurrent use. A nil Meter takes everything.
type Meter struct {
	mu     sync.Mutex
	quotas []*metered
}

// metered is one quota with what has been taken.
type metered struct {
	Quota
	of    map[string]*list.Element // of *account
	order *list.List               // who was heard last is in front
}

// account is what one may still take.
type account struct {
	who             string
	messages, bytes float64
	last            time.Time
}

// NewMeter makes a meter, nil where there are no quotas.
func NewMeter(quotas []Quota) *Meter {
	if len(quotas) == 0 {
		return nil
	}
	m := &Meter{}
	for _, q := range quotas {
		m.quotas = append(m.quotas, &metered{Quota: q, of: map[string]*list.Element{}, order: list.New()})
	}
	return m
}

// Excess is a message that is over a quota.
type Excess struct {
	By     string        // who is counted, "" where all are
	Reason string        // for people
	After  time.Duration // in which there is room again
}

// Take counts a message of a size in bytes, where all quotas have room for it; else nothing is counted and it says
// which has none. An expression without an answer counts for "".
func (m *Meter) Take(look *Look, subject string, tokens []any, size int, now time.Time) *Excess {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var counted []*account
	for _, q := range m.quotas {
		counts, err := q.Where.Holds(look, map[string]any{"subject": subject, "tokens": tokens})
		if err != nil {
			return &Excess{Reason: "quota: where: " + err.Error()}
		}
		if !counts {
			continue
		}
		a, err := q.account(look, subject, tokens, now)
		if err != nil {
			return &Excess{Reason: "quota: by: " + err.Error()}
		}
		if e := q.over(a, size); e != nil {
			return e
		}
		counted = append(counted, a)
	}
	for _, a := range counted {
		a.messages--
		a.bytes -= float64(size)
	}
	return nil
}

// account finds who a message counts for, with what has come to them meanwhile.
func (q *metered) account(look *Look, subject string, tokens []any, now time.Time) (*account, error) {
	who := ""
	if q.By != nil {
		var err error
		if who, err = q.By.Text(look, map[string]any{"subject": subject, "tokens": tokens}); err != nil {
			return nil, err
		}
	}
	at, known := q.of[who]
	if !known {
		for q.order.Len() >= mostCounted {
			oldest := q.order.Back()
			delete(q.of, oldest.Value.(*account).who)
			q.order.Remove(oldest)
		}
		at = q.order.PushFront(&account{who: who, messages: float64(q.Burst), bytes: float64(q.BytesBurst), last: now})
		q.of[who] = at
	}
	q.order.MoveToFront(at)
	a := at.Value.(*account)
	if passed := now.Sub(a.last).Seconds(); passed > 0 {
		a.messages = min(float64(q.Burst), a.messages+passed*float64(q.Rate))
		a.bytes = min(float64(q.BytesBurst), a.bytes+passed*float64(q.Bytes))
	}
	a.last = now
	return a, nil
}

// over says what there is no room for.
func (q *metered) over(a *account, size int) *Excess {
	switch {
	case q.Rate > 0 && a.messages < 1:
		return &Excess{By: a.who, After: seconds((1 - a.messages) / float64(q.Rate)),
			Reason: fmt.Sprintf("more than %d messages at once and %s in a second", q.Burst, digits(q.Rate))}
	case q.Bytes > 0 && a.bytes < float64(size):
		return &Excess{By: a.who, After: seconds((float64(size) - a.bytes) / float64(q.Bytes)),
			Reason: fmt.Sprintf("more than %d bytes at once and %s in a second", q.BytesBurst, digits(q.Bytes))}
	}
	return nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func digits(f Frequency) string { return strconv.FormatFloat(float64(f), 'g', 3, 64) }
