package conformance

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

type properties struct {
	Word string `yaml:"word"`
}

// subject is a type whose looks do what check says.
func subject(check func(ctx context.Context, look *watchers.Look) watchers.Report) Case {
	return Case{Properties: "word: x", Type: watchers.Define(
		watchers.Type{WatcherType: machine.WatcherType{Name: "subject"}},
		func(*properties, *machine.WatcherSpec) *watchers.Prepared {
			return &watchers.Prepared{New: func() watchers.Watcher { return checker(check) }}
		})}
}

type checker func(ctx context.Context, look *watchers.Look) watchers.Report

// Check implements watchers.Checker.
func (c checker) Check(ctx context.Context, look *watchers.Look) watchers.Report { return c(ctx, look) }

func good(context.Context, *watchers.Look) watchers.Report { return watchers.Success() }

func TestGoodTypePasses(t *testing.T) { Run(t, subject(good)) }

type listener struct{}

// Listen implements watchers.Listener.
func (listener) Listen(ctx context.Context, _ *watchers.Look, emit func(watchers.Report)) watchers.Report {
	emit(watchers.Success())
	<-ctx.Done()
	return watchers.Success()
}

func TestGoodListenerPasses(t *testing.T) {
	c := subject(good)
	prepare := c.Type.Prepare
	c.Type.Prepare = func(w *machine.WatcherSpec) (*watchers.Prepared, diag.List) {
		p, list := prepare(w)
		if p != nil {
			p.New = func() watchers.Watcher { return listener{} }
		}
		return p, list
	}
	Run(t, c)
}

// TestEveryLawCanBeBroken holds that the suite finds a type that breaks it.
func TestEveryLawCanBeBroken(t *testing.T) {
	sloppy := subject(good)
	sloppy.Type.Check = func(*machine.WatcherSpec) diag.List { return nil }
	fickle := subject(good)
	fickle.Type.Check = func(*machine.WatcherSpec) diag.List { return diag.List{{Message: "mood"}} }
	shapeless := subject(good)
	shapeless.Type.Prepare = func(*machine.WatcherSpec) (*watchers.Prepared, diag.List) {
		return &watchers.Prepared{New: func() watchers.Watcher { return struct{}{} }}, nil
	}
	release := make(chan struct{})
	defer close(release)
	stubborn := subject(func(context.Context, *watchers.Look) watchers.Report {
		<-release
		return watchers.Success()
	})
	invented := subject(func(context.Context, *watchers.Look) watchers.Report { return watchers.Report{Outcome: "invented"} })
	tests := []struct {
		law  string
		c    Case
		want string
	}{
		{"prepares the same every time", fickle, "the findings differ"},
		{"prepares the same every time", shapeless, "Checker or a Listener"},
		{"names unknown keys", sloppy, "no error with place names wordx"},
		{"reports declared outcomes without facts or data", invented, `"invented" is not declared`},
		{"ends with its context", stubborn, "after its context"},
	}
	for _, tt := range tests {
		for _, l := range laws() {
			if l.name != tt.law {
				continue
			}
			if err := l.holds(t, &tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q", tt.law, err, tt.want)
			}
		}
	}
}

func TestLeakIsFound(t *testing.T) {
	release := make(chan struct{})
	leaky := subject(func(context.Context, *watchers.Look) watchers.Report {
		go func() { <-release }()
		return watchers.Success()
	})
	before := goleak.IgnoreCurrent()
	if err := reportsDeclared(t, &leaky); err != nil {
		t.Fatal(err)
	}
	if goleak.Find(before) == nil {
		t.Error("a leaked goroutine is not found")
	}
	close(release)
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
