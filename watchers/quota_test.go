package watchers

import (
	"fmt"
	"testing"
	"time"
)

func quotaBy(t *testing.T, text string) *Formula {
	t.Helper()
	f, err := CompileFormula(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestG45AQuotaIsOfEachWhoIsCounted: one who sends more than their share keeps nobody else out.
func TestG45AQuotaIsOfEachWhoIsCounted(t *testing.T) {
	m := NewMeter([]Quota{{By: quotaBy(t, "message.tokens[1]"), Rate: 2, Burst: 10, Bytes: 100, BytesBurst: 1000}})
	now := time.Unix(1000, 0)
	take := func(who string, size int) *Excess {
		return m.Take(&Look{}, "node."+who, []any{"node", who}, size, now)
	}
	taken := 0
	for range 100 {
		if take("a", 10) == nil {
			taken++
		}
	}
	if e := take("a", 10); taken != 10 || e == nil || e.By != "a" || e.After != time.Second/2 {
		t.Errorf("of a burst %d were taken, then %+v", taken, e)
	}
	if e := take("b", 900); e != nil {
		t.Errorf("another is over, too: %+v", e)
	}
	if e := take("b", 300); e == nil || e.After != 2*time.Second {
		t.Errorf("bytes: %+v", e)
	}
	now = now.Add(2 * time.Second)
	if e := take("b", 300); e != nil {
		t.Errorf("after the time that was named: %+v", e)
	}
	for range 4 {
		if e := take("a", 1); e != nil {
			t.Errorf("after a while: %+v", e)
		}
	}
	if take("a", 1) == nil {
		t.Error("the rate is not kept")
	}
	now = now.Add(-time.Hour)
	if take("a", 1) == nil {
		t.Error("a clock that is set back gives something")
	}
}

func TestAQuotaOfAllIsCountedWithThatOfEach(t *testing.T) {
	m := NewMeter([]Quota{{By: quotaBy(t, "message.tokens[0]"), Rate: 1, Burst: 5}, {Rate: 1, Burst: 7}})
	taken := map[string]int{}
	for i := range 20 {
		who := []string{"a", "b"}[i%2]
		if m.Take(&Look{}, who, []any{who}, 1, time.Unix(0, 0)) == nil {
			taken[who]++
		}
	}
	if taken["a"]+taken["b"] != 7 || taken["a"] > 5 || taken["b"] > 5 {
		t.Errorf("%v", taken)
	}
	if e := m.Take(&Look{}, "x", nil, 1, time.Unix(0, 0)); e == nil {
		t.Error("a message that counts for nobody is taken")
	}
}

// TestAQuotaCountsWhatItIsFor: a message for which where is false is not counted, and one for which it has no answer is over.
func TestAQuotaCountsWhatItIsFor(t *testing.T) {
	m := NewMeter([]Quota{{Where: &Condition{Formula: *quotaBy(t, `message.tokens[1] != "admin"`)}, By: quotaBy(t, "message.tokens[0]"), Rate: 1, Burst: 1}})
	for i, tt := range []struct {
		tokens []any
		taken  bool
	}{
		{[]any{"a", "out"}, true}, {[]any{"a", "out"}, false}, {[]any{"a", "admin"}, true}, {[]any{"a", "admin"}, true}, {[]any{"b", "out"}, true}, {[]any{"a"}, false},
	} {
		if e := m.Take(&Look{}, "x", tt.tokens, 1, time.Unix(0, 0)); (e == nil) != tt.taken {
			t.Errorf("message %d: %+v", i+1, e)
		}
	}
}

// TestG45MadeUpNamesTakeABoundedRoom: joiners say who they are by keys that they make up.
func TestG45MadeUpNamesTakeABoundedRoom(t *testing.T) {
	m := NewMeter([]Quota{{By: quotaBy(t, "message.tokens[0]"), Rate: 1, Burst: 1}})
	for i := range mostCounted + 1000 {
		who := fmt.Sprint(i)
		if e := m.Take(&Look{}, who, []any{who}, 1, time.Unix(0, 0)); e != nil {
			t.Fatalf("%s: %+v", who, e)
		}
	}
	if q := m.quotas[0]; len(q.of) != mostCounted || q.order.Len() != mostCounted {
		t.Errorf("%d are counted", len(q.of))
	}
}
