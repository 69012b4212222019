package credentials

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// TestAHeadIsOfNowAndWronglySignedOnesAreRefused has what readers of heads say of one, and the clock of the host, decide.
func TestAHeadIsOfNowAndWronglySignedOnesAreRefused(t *testing.T) {
	good := ToldHead{Identity: "n1.example", Key: "aa", At: noon}
	for name, tt := range map[string]struct {
		told    ToldHead
		err     error
		outcome string
		says    string
	}{
		"as it should be":    {good, nil, machine.OutcomeSuccess, ""},
		"five minutes ahead": {ToldHead{"n1.example", "aa", noon.Add(5 * time.Minute)}, nil, machine.OutcomeSuccess, ""},
		"of 2099":            {ToldHead{"n1.example", "aa", noon.AddDate(73, 0, 0)}, nil, OutcomeRefused, "the head is of 2099-03-01T12:00:00Z, and here it is 2026-03-01T12:00:00Z"},
		"of a day before":    {ToldHead{"n1.example", "aa", noon.AddDate(0, 0, -1)}, nil, OutcomeRefused, "set the clock"},
		"of another's":       {ToldHead{"n2.example", "aa", noon}, nil, OutcomeRefused, "the head is of the journal of n2.example"},
		"signed by another":  {ToldHead{"n1.example", "bb", noon}, nil, OutcomeRefused, "not signed with the key"},
		"wrongly signed":     {ToldHead{}, errors.New("its signature is not of the key aa"), OutcomeRefused, "its signature is not of the key aa"},
	} {
		var read string
		typ := SignedHeadType(func(envelope []byte) (ToldHead, error) { read = string(envelope); return tt.told, tt.err })
		got := headLook(t, typ)
		if got.Outcome != tt.outcome || !strings.Contains(got.Message, tt.says) || read != `{"payload":"p"}` {
			t.Errorf("%s: %+v of %s", name, got, read)
		}
		if reason, _ := got.Payload["reason"].(string); tt.outcome == OutcomeRefused && reason != got.Message {
			t.Errorf("%s: the reason is %q", name, reason)
		}
	}
	if got := headLook(t, SignedHeadType(nil)); got.Outcome != machine.OutcomeFail {
		t.Errorf("where nobody reads heads: %+v", got)
	}
}

// headLook takes one look at a head that is in the data.
func headLook(t *testing.T, typ watchers.Type) watchers.Report {
	t.Helper()
	prepared, list := prepare(typ, "head: data.head\nkey: data.key\nof: replace(data.node, '=', '.')")
	if list.HasErrors() {
		t.Fatal(list)
	}
	look := newFleet(t).look("ov1.example", map[string]any{"head": map[string]any{"payload": "p"}, "key": "aa", "node": "n1=example"})
	look.At = noon
	return prepared.New().(watchers.Checker).Check(t.Context(), look)
}
