package cell

import (
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

type someCertificates struct{ all []Certificate }

func (s *someCertificates) Certificates() ([]Certificate, error) { return s.all, nil }

// TestCertificatesThatEndAreToldSixtyDaysBefore, once, and those that are revoked at once.
func TestCertificatesThatEndAreToldSixtyDaysBefore(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	of := &someCertificates{}
	spec := &certificatesSpec{}
	spec.Warn = strict.Duration(60 * 24 * time.Hour)
	w := &certificates{spec: spec, of: of}
	for i, step := range []struct {
		left    time.Duration
		revoked bool
		moment  watchers.Moment
		outcome string
		says    string
	}{
		{61 * 24 * time.Hour, false, watchers.Entered, "success", ""},
		{61 * 24 * time.Hour, false, watchers.Interval, "unchanged", ""},
		{60 * 24 * time.Hour, false, watchers.Interval, "ending", "service ends at 2030-03-02"},
		{60 * 24 * time.Hour, false, watchers.Interval, "unchanged", ""},
		{60 * 24 * time.Hour, false, watchers.Entered, "ending", "overlay rotate"},
		{-time.Hour, false, watchers.Interval, "ending", "service ended"},
		{time.Hour, true, watchers.Interval, "revoked", "(service)"},
		{1000 * time.Hour * 24, false, watchers.Interval, "success", ""},
	} {
		of.all = []Certificate{{Name: "host", Key: "aa"}, {Name: "service", Key: "bb", Ends: now.Add(step.left), Revoked: step.revoked}}
		rep := w.Check(t.Context(), &watchers.Look{At: now, Moment: step.moment})
		if rep.Outcome != step.outcome || !strings.Contains(rep.Message, step.says) {
			t.Errorf("step %d: %s %q, want %s", i+1, rep.Outcome, rep.Message, step.outcome)
		}
	}
}

// TestAHostThatIsRevokedByNameSaysSo: its keys are as good as before, and other keys do not help.
func TestAHostThatIsRevokedByNameSaysSo(t *testing.T) {
	w := &certificates{spec: &certificatesSpec{}, of: &someCertificates{all: []Certificate{{Name: HostName, Revoked: true}, {Name: "host", Key: "aa"}}}}
	rep := w.Check(t.Context(), &watchers.Look{Moment: watchers.Interval})
	if rep.Outcome != outcomeRevoked || !strings.Contains(rep.Message, "this host is revoked") || strings.Contains(rep.Message, "overlay rotate") {
		t.Errorf("%s: %s", rep.Outcome, rep.Message)
	}
}
