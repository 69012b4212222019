package schedule

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func place(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func mustParse(t *testing.T, text string, loc *time.Location) *entry {
	t.Helper()
	e, err := parseEntry(text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestA04EntriesAcrossDaylightSaving(t *testing.T) {
	tests := []struct {
		name, entry, zone, from string
		want                    []string // local time with its offset
	}{
		{"berlin skips 02:30", "30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00+01:00",
			[]string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"berlin repeats 02:30", "30 2 * * *", "Europe/Berlin", "2026-10-24T03:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"berlin, asked in the second showing", "30 2 * * *", "Europe/Berlin", "2026-10-25T02:10:00+01:00",
			[]string{"2026-10-26T02:30:00+01:00"}},
		{"berlin, several in the skipped hour are one", "0,15,30,45 2,3 * * *", "Europe/Berlin", "2026-03-29T01:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-29T03:15:00+02:00", "2026-03-29T03:30:00+02:00"}},
		{"berlin, given hour with every half hour, once each", "*/30 2 * * *", "Europe/Berlin", "2026-10-25T00:00:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:00:00+01:00"}},
		{"berlin, a rhythm goes on when set back", "*/30 * * * *", "Europe/Berlin", "2026-10-25T02:10:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"berlin, a rhythm goes on when set forward", "*/30 * * * *", "Europe/Berlin", "2026-03-29T01:10:00+01:00",
			[]string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"}},
		{"berlin @hourly", "@hourly", "Europe/Berlin", "2026-10-25T01:30:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"new york skips 02:15", "15 2 * * *", "America/New_York", "2026-03-07T12:00:00-05:00",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:15:00-04:00"}},
		{"new york repeats 01:45", "45 1 * * *", "America/New_York", "2026-10-31T12:00:00-04:00",
			[]string{"2026-11-01T01:45:00-04:00", "2026-11-02T01:45:00-05:00"}},
		{"new york, the hour after the repeated one", "0 2 * * *", "America/New_York", "2026-10-31T12:00:00-04:00",
			[]string{"2026-11-01T02:00:00-05:00"}},
		{"lord howe skips half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"lord howe repeats half an hour", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00+11:00",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
		{"lord howe, a rhythm", "*/15 * * * *", "Australia/Lord_Howe", "2026-04-05T01:40:00+11:00",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-05T01:30:00+10:30", "2026-04-05T01:45:00+10:30", "2026-04-05T02:00:00+10:30"}},
		{"kathmandu has a quarter", "0 8 * * 1", "Asia/Kathmandu", "2026-03-01T00:00:00+05:45",
			[]string{"2026-03-02T08:00:00+05:45", "2026-03-09T08:00:00+05:45"}},
		{"cairo skips midnight", "@daily", "Africa/Cairo", "2026-04-23T12:00:00+02:00",
			[]string{"2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"}},
		{"apia skipped a day", "0 8 * * *", "Pacific/Apia", "2011-12-29T09:00:00-10:00",
			[]string{"2011-12-31T00:00:00+14:00", "2011-12-31T08:00:00+14:00"}},
		{"a zone of its own", "CRON_TZ=Asia/Kathmandu 0 8 * * *", "UTC", "2026-03-01T00:00:00+05:45",
			[]string{"2026-03-01T08:00:00+05:45"}},
		{"@every does not depend on when it is asked", "@every 90m", "UTC", "2026-03-01T00:10:00Z",
			[]string{"2026-03-01T01:30:00Z", "2026-03-01T03:00:00Z"}},
		{"leap day", "0 0 29 2 *", "UTC", "2026-03-01T00:00:00Z", []string{"2028-02-29T00:00:00Z"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := mustParse(t, tt.entry, place(t, tt.zone))
			at, err := time.Parse(time.RFC3339, tt.from)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for range tt.want {
				at = e.next(at)
				shown := at
				if e.place != nil {
					shown = at.In(e.place)
				}
				got = append(got, shown.Format(time.RFC3339))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("beginnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseEntryRefuses(t *testing.T) {
	for _, text := range []string{
		"", " ", "* * * *", "* * * * * *", "61 * * * *", "0 8 * * 7", "@sometimes", "@every", "@every 1s 2s", "@every x", "@every 10ms",
		"TZ=", "TZ=UTC", "TZ=No/Where 0 8 * * *", "TZ=UTC TZ=UTC 0 8 * * *", "CRON_TZ=../../etc 0 8 * * *", "1-2-3 * * * *", "*/0 * * * *",
	} {
		if _, err := parseEntry(text, time.UTC); err == nil {
			t.Errorf("%q is read without an error", text)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, seed := range []string{"*/5 * * * *", "30 2 * * 1-5", "@daily", "@every 1h", "TZ=Asia/Kathmandu 1,2 */3 ? JAN sun", "0 0 30 2 *", "TZ=x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseEntry(text, time.UTC)
		if err != nil {
			return
		}
		at := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
		for range 3 {
			next := e.next(at)
			if next.IsZero() {
				return
			}
			if !next.After(at) {
				t.Fatalf("%q: %s is followed by %s", text, at, next)
			}
			at = next
		}
	})
}

// zones have half hours, quarters, changes at midnight and none at all.
func zones() []string {
	return []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo", "America/St_Johns", "UTC"}
}

func drawEntry(t *rapid.T) string {
	field := func(label string, lo, hi int) string {
		n := rapid.IntRange(lo, hi)
		return rapid.OneOf(
			rapid.Just("*"),
			rapid.Map(n, itoa),
			rapid.Map(rapid.IntRange(1, hi), func(i int) string { return "*/" + itoa(i) }),
			rapid.Map(rapid.SliceOfNDistinct(n, 2, 4, rapid.ID), func(l []int) string {
				var parts []string
				for _, i := range l {
					parts = append(parts, itoa(i))
				}
				return strings.Join(parts, ",")
			}),
		).Draw(t, label)
	}
	return strings.Join([]string{field("minute", 0, 59), field("hour", 0, 23), "*", "*", field("weekday", 0, 6)}, " ")
}

// TestNextAgreesWithEveryMinute holds next against a walk over all minutes of the days around a change of clocks.
func TestNextAgreesWithEveryMinute(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		loc := place(t, rapid.SampledFrom(zones()).Draw(r, "zone"))
		text := drawEntry(r)
		e := mustParse(t, text, loc)
		day := rapid.IntRange(0, 364).Draw(r, "day")
		from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, day)
		to := from.AddDate(0, 0, 2)
		want := walk(e, from, to)
		var got []string
		for at := e.next(from); !at.IsZero() && !at.After(to); at = e.next(at) {
			got = append(got, at.UTC().Format(time.RFC3339))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			r.Fatalf("%q in %s (-walk +next):\n%s", text, loc, diff)
		}
	})
}

// walk is the plain definition: the clocks' every showing of a matching minute for a rhythm; otherwise the first
// showing, and a change that skips a matching minute.
func walk(e *entry, from, to time.Time) (starts []string) {
	matches := func(c time.Time) bool { return e.cron.Next(c.Add(-time.Second)).Equal(c) }
	shown := map[time.Time]bool{}
	for at := from.Add(-26 * time.Hour); at.Before(from.Add(time.Minute)); at = at.Add(time.Minute) {
		shown[civil(at, e.place)] = true
	}
	for at := from.Add(time.Minute); !at.After(to); at = at.Add(time.Minute) {
		c := civil(at, e.place)
		begins := matches(c) && (e.rhythmic || !shown[c])
		if !e.rhythmic {
			for skipped := civil(at.Add(-time.Minute), e.place).Add(time.Minute); skipped.Before(c); skipped = skipped.Add(time.Minute) {
				begins = begins || matches(skipped)
			}
		}
		shown[c] = true
		if begins {
			starts = append(starts, at.UTC().Format(time.RFC3339))
		}
	}
	return starts
}
